"""What a result was made from, as hashes: two results with the same ones come from the same model."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MADE_FROM = "made_from"
"""Name under which files of predictions hold the hashes."""

PIECE_BYTES = 1 << 20
SHOWN = 16
"""Hexadecimal digits of a hash that are kept: no two models will share them by chance."""


def of_files(path: str | Path) -> str:
    """SHA-256 of a file, or of all files in a folder with their names."""
    path = Path(path)
    found = hashlib.sha256()
    # Snakemake leaves its mark in folders it made.
    files = [path] if path.is_file() else sorted(f for f in path.rglob("[!.]*") if f.is_file())
    for file in files:
        found.update(file.name.encode() + b"\0")
        with open(file, "rb") as opened:
            while piece := opened.read(PIECE_BYTES):
                found.update(piece)
    return found.hexdigest()[:SHOWN]


def of_predictions(paths: list[str]) -> dict[str, str]:
    """What all of these files of predictions were made from; empty if they do not say.

    Raises
    ------
    RuntimeError
        If they were not made from the same.
    """
    found = {path: (pq.read_schema(path).metadata or {}).get(MADE_FROM.encode(), b"{}") for path in paths}
    if len(set(found.values())) > 1:
        first, other = next((a, b) for a, b in pairwise(paths) if found[a] != found[b])
        raise RuntimeError(
            f"{first} and {other} were not predicted by the same model and settings; delete "
            f"{Path(other).parent} and run snakemake again"
        )
    return json.loads(next(iter(found.values())))


def of_settings(settings: Any) -> str:
    """SHA-256 of plain values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:SHOWN]
