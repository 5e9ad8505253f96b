"""Hashes of a result's inputs: results with equal hashes are from the same model."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

MADE_FROM = "made_from"
"""Name of the hashes in results."""

PIECE_BYTES = 1 << 20
REFERENCE = "reference"
"""Key in the metadata of predictions: name, version and hash of the published reference."""

SHOWN = 16
"""Stored hexadecimal digits of a hash, enough to avoid collisions."""


def of_files(path: str | Path) -> str:
    """SHA-256 of a file, or of all files in a folder with their names.

    Only the weights of a torch model count: scvi-tools saves the time of the run with them.
    """
    path = Path(path)
    digest = hashlib.sha256()
    # Without Snakemake's hidden marks in its folders.
    files = [path] if path.is_file() else sorted(f for f in path.rglob("[!.]*") if f.is_file())
    for file in files:
        digest.update(file.name.encode() + b"\0")
        for piece in _pieces(file):
            digest.update(piece)
    return digest.hexdigest()[:SHOWN]


def _pieces(file: Path) -> Iterator[bytes]:
    """Content of a file, or the weights in a torch file, which is a zip archive."""
    with ExitStack() as closing:
        opened = [closing.enter_context(open(file, "rb"))]
        if file.suffix == ".pt" and zipfile.is_zipfile(file):
            archive = closing.enter_context(zipfile.ZipFile(file))
            names = sorted(name for name in archive.namelist() if "/data/" in name)
            opened = [closing.enter_context(archive.open(name)) for name in names]
        for each in opened:
            while piece := each.read(PIECE_BYTES):
                yield piece


def of_predictions(paths: list[str]) -> dict[str, str]:
    """Hashes of the inputs of all these prediction files; empty if they contain none.

    Raises
    ------
    RuntimeError
        If their inputs differ.
    """
    import pyarrow.parquet as pq  # the Snakefile hashes settings without pyarrow

    recorded = {path: (pq.read_schema(path).metadata or {}).get(MADE_FROM.encode(), b"{}") for path in paths}
    if len(set(recorded.values())) > 1:
        first, other = next((a, b) for a, b in pairwise(paths) if recorded[a] != recorded[b])
        raise RuntimeError(
            f"{first} and {other} were not predicted by the same model and settings; delete "
            f"{Path(other).parent} and run snakemake again"
        )
    return json.loads(next(iter(recorded.values())))


def labeled_by(path: str | Path) -> dict[str, str]:
    """`name`, `version` and `sha256` of a prediction file's reference; empty if not recorded."""
    import pyarrow.parquet as pq

    return json.loads((pq.read_schema(path).metadata or {}).get(REFERENCE.encode(), b"{}"))


def of_settings(settings: Any) -> str:
    """SHA-256 of plain values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(_with_text_keys(settings), sort_keys=True).encode()).hexdigest()[:SHOWN]


def _with_text_keys(value: Any) -> Any:
    """Convert keys of dicts to text: labels can be numbers, which cannot be sorted with text."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value
