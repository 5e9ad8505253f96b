"""Make the shipped subset of the Cell Ontology: ids, names and `is_a` of its terms, as OBO.

    python tests/ontology_subset.py SOURCE RELEASE config/ontology/cell_ontology.obo.gz

SOURCE is an OBO file of the release (`cl.obo`, `cl-basic.obo`), or the json.zst of that release in the
package cellxgene-ontology-guide. The same source gives the same bytes.
"""

import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
from cellferry.labels.ontology import Ontology, read_obo

HEADER = """format-version: 1.2
data-version: cl/releases/{release}
ontology: cl
remark: Subset of the Cell Ontology, release {release}: ids, names, is_a and obsolete ids of its own terms.
remark: Source: Cell Ontology, http://obofoundry.org/ontology/cl.html, license CC BY 4.0; only reduced.
"""


def read_source(path: Path) -> Ontology:
    """Terms of a source."""
    if path.suffix != ".zst":
        return read_obo(path)
    terms = json.loads(pa.input_stream(str(path), compression="zstd").read())
    kept = {term: about for term, about in sorted(terms.items()) if not about["deprecated"]}
    return Ontology(
        names={term: about["label"] for term, about in kept.items()},
        parents={
            term: sorted(above for above, distance in about["ancestors"].items() if distance == 1)
            for term, about in kept.items()
        },
        obsolete={
            term: about.get("replaced_by") for term, about in sorted(terms.items()) if about["deprecated"]
        },
        release="",
    )


def obo_text(ontology: Ontology, release: str) -> str:
    """The terms in OBO 1.2, those in use first."""
    stanzas = [HEADER.format(release=release)]
    for term, name in ontology.names.items():
        above = "".join(f"is_a: {parent}\n" for parent in ontology.parents[term])
        stanzas.append(f"[Term]\nid: {term}\nname: {name}\n{above}")
    for term, successor in ontology.obsolete.items():
        replaced = f"replaced_by: {successor}\n" if successor else ""
        stanzas.append(f"[Term]\nid: {term}\nis_obsolete: true\n{replaced}")
    return "\n".join(stanzas)


def main(source: str, release: str, target: str) -> None:
    """Write the subset."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0, compresslevel=9) as file:
        file.write(obo_text(read_source(Path(source)), release).encode("utf-8"))
    Path(target).write_bytes(packed.getvalue())


if __name__ == "__main__":
    main(*sys.argv[1:])
