"""Labels over the coordinates of spatial data: a map per query, with a panel for each tissue section.

Each file of a dataset has its own coordinates and is a section; in a single file, each batch is one.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..artifacts.h5ad_layout import SECTION
from ..artifacts.latents import read_rows
from . import figures

MAX_CELLS = 40_000
"""Maximum number of cells in a query's map; more would overlap."""
MAX_SECTIONS = 12
CELLS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Section:
    """Cells of a tissue section; a sample of a large one.

    Attributes
    ----------
    name
        Name of the file or batch.
    cells
        Number of its cells with coordinates.
    places
        Coordinates of the drawn cells: cells × 2, float64, the second one downwards.
    labels
        Their labels.
    """

    name: str
    cells: int
    places: np.ndarray
    labels: np.ndarray


def draw_sections(
    labeled: dict[str, str], predicted: dict[str, str], colors: dict[str, str], folder: Path, *, seed: int
) -> dict[str, dict]:
    """Draw `{folder}/{query}.png` for each query with coordinates; return the page's part.

    Parameters
    ----------
    labeled, predicted
        Labeled file and predictions by query.
    colors
        Color by label.
    folder
        Folder of the figures.
    seed
        Seed of the sampling.
    """
    folder.mkdir(parents=True, exist_ok=True)  # a result of the run, even if no query has coordinates
    drawn = {}
    for query in labeled.keys() & predicted.keys():
        sections, n_sections = sections_of(labeled[query], predicted[query], query, seed=seed)
        if sections:
            path = folder / f"{query}.png"
            panels = [(_title(section), section.places, section.labels) for section in sections]
            figures.save(figures.map_of_sections(panels, colors), path)
            drawn[query] = {
                "image": figures.png_uri(path),
                "sections": n_sections,
                "shown": len(sections),
                "cells": sum(section.cells for section in sections),
                "drawn": sum(len(section.labels) for section in sections),
            }
    return dict(sorted(drawn.items()))


def sections_of(labeled: str, predicted: str, query: str, *, seed: int) -> tuple[list[Section], int]:
    """The largest sections of a query, by name, and the number of all; empty without coordinates.

    Memory grows by 6 bytes a cell.
    """
    rng = np.random.default_rng(seed)
    with h5py.File(labeled, "r", locking=False) as file:
        if "spatial" not in file["obsm"]:
            return [], 0
        column = SECTION if SECTION in file["obs"] else "batch"
        codes = file[f"obs/{column}/codes"][:].astype(np.int32)
        names = [name.removeprefix(f"{query}/") for name in file[f"obs/{column}/categories"].asstr()[:]]
        places = file["obsm/spatial"]
        for start in range(0, len(codes), CELLS_AT_ONCE):
            some = places[start : start + CELLS_AT_ONCE]
            codes[start : start + len(some)][~np.isfinite(some[:, :2]).all(axis=1)] = -1
        sizes = np.bincount(codes[codes >= 0], minlength=len(names))
        there = np.flatnonzero(sizes)
        largest = there[np.argsort(-sizes[there], kind="stable")][:MAX_SECTIONS]
        sections = []
        for code in sorted(largest.tolist(), key=lambda code: names[code]):
            rows = np.flatnonzero(codes == code)
            most = MAX_CELLS // len(largest)
            if len(rows) > most:
                rows = np.sort(rng.choice(rows, most, replace=False, shuffle=False))
            labels = read_rows([predicted], ["label"], rows)["label"].to_numpy(zero_copy_only=False)
            sections.append(Section(names[code], int(sizes[code]), _at(places, rows), labels))
    return sections, len(there)


def _at(places: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """The first two coordinates in the given rows (ascending), read block by block."""
    parts = []
    for start in range(0, len(places), CELLS_AT_ONCE):
        first, last = np.searchsorted(rows, [start, start + CELLS_AT_ONCE])
        if first < last:
            parts.append(places[start : start + CELLS_AT_ONCE][rows[first:last] - start, :2])
    return np.concatenate(parts)


def _title(section: Section) -> str:
    return f"{figures.short(section.name)} ({section.cells:,} cells)"
