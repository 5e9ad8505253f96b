"""Pack a trained reference as one file: `make pack RESULTS=results NAME=blood VERSION=1 LICENSE=CC-BY-4.0`.

The same results give the same bytes.
"""

import argparse
import sys
from pathlib import Path

from ...errors import InputError
from ...references.archive import PATTERNS, Manifest, file_name, sha256_of
from ..ending import fail
from .contents import REQUIRED, pack

DETAILS = ("organism", "assay", "tissue", "description", "doi", "citation")
"""Descriptions of the cells that the results do not contain."""


def pack_reference(
    results: Path, name: str, version: str, license_: str, output: Path, details: dict[str, str]
) -> str:
    """Write the archive; return the printed summary.

    Raises
    ------
    InputError
        If an argument is missing, or the results contain no trained reference or are damaged.
    """
    path = archive_path(name, version, license_, output)
    missing = [path for path in REQUIRED if not (results / path).exists()]
    if missing:
        raise InputError(
            f"RESULTS={results}: has no {', '.join(missing)}; name the folder `results` of a finished run "
            "that trained its reference or used a pre-trained model"
        )
    manifest = pack(results, path, name=name, version=version, license=license_.strip(), **details)
    return summary(path, manifest)


def archive_path(name: str, version: str, license_: str, output: Path) -> Path:
    """Path of a reference's new archive.

    Raises
    ------
    InputError
        If name, version or license are missing or invalid, or the archive exists.
    """
    for key, value, written, such_as in (
        ("name", name, "letters, digits, '-' and '_'", "blood"),
        ("version", version, "letters, digits, '.', '+' and '_'", "1.0"),
    ):
        if not PATTERNS[key].fullmatch(value):
            raise InputError(
                f"{key.upper()}={value}: a {key} consists of {written}; give one, such as "
                f"{key.upper()}={such_as}"
            )
    if not license_.strip():
        raise InputError(
            "LICENSE= is missing: data without a license may not be used; give the terms of use of its data, "
            "such as LICENSE=CC-BY-4.0"
        )
    path = output / file_name(name, version)
    if path.exists():
        raise InputError(f"{path} exists; give another VERSION, or delete it")
    return path


def summary(path: Path, manifest: Manifest) -> str:
    """The printed summary of a written archive."""
    not_told = [key for key in ("organism", "tissue", "citation") if not getattr(manifest, key)]
    lines = [
        f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB)",
        f"  {manifest.n_genes} {'markers' if manifest.modality == 'cytometry' else 'genes'}, "
        f"{len(manifest.labels)} labels, {manifest.n_batches} batches, {manifest.license}",
        *(f"  without {what}" for what in manifest.missing),
        *(f"  {key.upper()}= was not given" for key in not_told),
        f"  sha256: {sha256_of(path)}",
        "To label a query with it:",
        f"  make label REFERENCE={path} QUERY=query.h5ad",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make pack", description=__doc__)
    for key in ("name", "version", "license", *DETAILS):
        parser.add_argument(f"--{key}", default="")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--output", type=Path, default=Path())
    given = parser.parse_args(arguments)
    details = {key: " ".join(getattr(given, key).split()) for key in DETAILS}
    try:
        print(pack_reference(given.results, given.name, given.version, given.license, given.output, details))
    except (InputError, OSError) as error:
        return fail("make pack", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
