"""What a result was made from, as hashes: two results with the same ones come from the same model."""

import hashlib
import json
from pathlib import Path
from typing import Any

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


def of_settings(settings: Any) -> str:
    """SHA-256 of plain values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:SHOWN]
