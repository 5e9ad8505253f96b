"""Pack a trained reference as one file: `make pack RESULTS=results NAME=blood VERSION=1 LICENSE=CC-BY-4.0`.

The same results make the same bytes.
"""

import argparse
import sys
from pathlib import Path

from ...errors import InputError
from ...references.archive import PATTERNS, Manifest, file_name, sha256_of
from ..ending import fail
from .contents import REQUIRED, pack

TOLD = ("organism", "assay", "tissue", "description", "doi", "citation")
"""What nothing in the results says of the cells."""


def pack_reference(
    results: Path, name: str, version: str, license_: str, output: Path, told: dict[str, str]
) -> str:
    """Write the archive; returns what is said of it.

    Raises
    ------
    InputError
        If something was not given, or the results hold no trained reference, or it was damaged.
    """
    path = archive_path(name, version, license_, output)
    missing = [path for path in REQUIRED if not (results / path).exists()]
    if missing:
        raise InputError(
            f"RESULTS={results}: has no {', '.join(missing)}; name the folder `results` of a finished run "
            "that trained its reference or took in a model of others"
        )
    manifest = pack(results, path, name=name, version=version, license=license_.strip(), **told)
    return summary(path, manifest)


def archive_path(name: str, version: str, license_: str, output: Path) -> Path:
    """Where the archive of a reference is written.

    Raises
    ------
    InputError
        If a name, version or license is none, or the archive is there already.
    """
    for key, value, written, such_as in (
        ("name", name, "letters, digits, '-' and '_'", "blood"),
        ("version", version, "letters, digits, '.', '+' and '_'", "1.0"),
    ):
        if not PATTERNS[key].fullmatch(value):
            raise InputError(
                f"{key.upper()}={value}: a {key} is of {written}; give one, such as {key.upper()}={such_as}"
            )
    if not license_.strip():
        raise InputError(
            "LICENSE= is missing: nobody may use what has no license; give the terms under which its data "
            "may be used, such as LICENSE=CC-BY-4.0"
        )
    path = output / file_name(name, version)
    if path.exists():
        raise InputError(f"{path} is there already; give another VERSION, or take it away")
    return path


def summary(path: Path, manifest: Manifest) -> str:
    """What is said of an archive that was written."""
    not_told = [key for key in ("organism", "tissue", "citation") if not getattr(manifest, key)]
    lines = [
        f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB)",
        f"  {manifest.n_genes} {'markers' if manifest.modality == 'cytometry' else 'genes'}, "
        f"{len(manifest.labels)} labels, {manifest.n_batches} batches, {manifest.license}",
        *(f"  without {what}" for what in manifest.missing),
        *(f"  {key.upper()}= was not given" for key in not_told),
        f"  sha256: {sha256_of(path)}",
        "Whoever has it labels a query with:",
        f"  make label REFERENCE={path} QUERY=query.h5ad",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make pack", description=__doc__)
    for key in ("name", "version", "license", *TOLD):
        parser.add_argument(f"--{key}", default="")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--output", type=Path, default=Path())
    given = parser.parse_args(arguments)
    told = {key: " ".join(getattr(given, key).split()) for key in TOLD}
    try:
        print(pack_reference(given.results, given.name, given.version, given.license, given.output, told))
    except (InputError, OSError) as error:
        return fail("make pack", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
