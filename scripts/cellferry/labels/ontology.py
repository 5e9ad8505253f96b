"""The Cell Ontology: terms and their parents (`is_a`), from an OBO file.

Read by the Snakefile too, so it imports nothing that a login node with Snakemake alone lacks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.problems import Problem
from ..core.project import PROJECT
from ..core.reading import readable
from ..core.text import open_text
from ..errors import InputError
from .tables import ONTOLOGY_ID

SHIPPED = "shipped"
"""Value of `labels.is_a` for the subset that ships with the project."""

SHIPPED_PATH = PROJECT / "config" / "ontology" / "cell_ontology.obo.gz"


@dataclass(frozen=True)
class Ontology:
    """Terms of the Cell Ontology (`CL:0000084`).

    Attributes
    ----------
    names
        Name by term, without obsolete ones.
    parents
        By term, its parents (`is_a`) within the Cell Ontology.
    obsolete
        By obsolete term, its replacement; None without one.
    release
        The file's version; empty without one.
    """

    names: dict[str, str]
    parents: dict[str, list[str]]
    obsolete: dict[str, str | None]
    release: str

    def ancestors(self, term: str) -> set[str]:
        """All ancestors of a term; the term itself is one of them in a circle of `is_a`."""
        found: set[str] = set()
        waiting = list(self.parents.get(term, []))
        while waiting:
            above = waiting.pop()
            if above not in found:
                found.add(above)
                waiting += self.parents.get(above, [])
        return found

    def nearest(self, term: str, among: set[str]) -> list[str]:
        """The nearest ancestors among some terms, sorted."""
        above = self.ancestors(term) & among - {term}
        beyond = set().union(*(self.ancestors(each) - {each} for each in above)) if above else set()
        return sorted(above - beyond)


def ontology_path(is_a: str) -> Path:
    """The file of a value of `labels.is_a`."""
    return SHIPPED_PATH if is_a == SHIPPED else Path(is_a)


def read_obo(path: Path) -> Ontology:
    """Terms of an OBO file, which may be packed by gzip; terms of other ontologies are left out.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no term of the Cell Ontology.
    """
    names, parents, obsolete = {}, {}, {}
    release = ""
    for stanza in _stanzas(path):
        if "[]" in stanza:  # the header
            release = stanza.get("data-version", [""])[0]
            continue
        (term, *_) = stanza.get("id", [""])
        if "[Term]" not in stanza or not ONTOLOGY_ID.match(term):
            continue
        if stanza.get("is_obsolete") == ["true"]:
            obsolete[term] = stanza.get("replaced_by", [None])[0]
            continue
        names[term] = stanza.get("name", [term])[0]
        above = (value.split("!")[0].split("{")[0].strip() for value in stanza.get("is_a", []))
        parents[term] = [parent for parent in above if ONTOLOGY_ID.match(parent)]
    if not names:
        what = f"{path} holds no term of the Cell Ontology"
        raise InputError(Problem("labels.is_a", what, f"name an OBO file (cl.obo), or write {SHIPPED}"))
    return Ontology(names, parents, obsolete, release)


def _stanzas(path: Path) -> Iterator[dict[str, list[str]]]:
    """Values by tag of each stanza; its kind is a tag without values, `[]` of the header."""
    stanza: dict[str, list[str]] = {"[]": []}
    for line in _lines(path):
        if line.startswith("["):
            yield stanza
            stanza = {line.strip(): []}
        elif ": " in line:
            tag, value = line.split(": ", 1)
            stanza.setdefault(tag, []).append(value.strip())
    yield stanza


def _lines(path: Path) -> Iterable[str]:
    with readable(path), open_text(path) as file:
        for line in file:
            yield line.decode()
