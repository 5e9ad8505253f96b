"""Several references as one: their cells one after the other, their labels and batches under joint codes."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..artifacts.h5ad_reader import H5adReader
from ..resources.budget import Budget
from ..resources.rules import MemoryModel
from .sketch import stratified_sketch


def cell_bounds(paths: Sequence[str | Path]) -> np.ndarray:
    """Position of each file's first cell among all cells, and the total (int64)."""
    sizes = []
    for path in paths:
        with H5adReader(path) as reader:
            sizes.append(reader.n_cells)
    return np.cumsum([0, *sizes])


def joint_codes(paths: Sequence[str | Path], column: str) -> tuple[np.ndarray, np.ndarray]:
    """A categorical obs column of all files.

    Returns
    -------
    Codes (int32, one per cell, -1 where missing), and the values in the order of their
    first cells (object array of str).
    """
    bounds = cell_bounds(paths)
    codes = np.empty(bounds[-1], dtype=np.int32)
    known: dict[str, int] = {}
    for path, (start, stop) in zip(paths, pairwise(bounds), strict=True):
        with H5adReader(path) as reader:
            values = reader.categories(column)
            # One entry more than values: code -1 (missing) indexes the last.
            joint = np.array([known.setdefault(value, len(known)) for value in values] + [-1], np.int32)
            codes[start:stop] = joint[reader.codes(column)]
    return codes, np.array(list(known), dtype=object)


def training_sketch(
    merged: list[str],
    training: np.ndarray,
    sketch_cells: int,
    *,
    seed: int,
    need: MemoryModel,
    budget: Budget,
    min_values: int = 0,
) -> list[np.ndarray]:
    """Sketch of the training cells for a fit, evenly over labels and their batches.

    Parameters
    ----------
    merged
        The merged references.
    training
        Mask of the training cells of all.
    sketch_cells
        Cells to draw at most.
    seed, need, budget
        Seed of the draw; memory model of the job, and its memory.
    min_values
        Minimum of values in memory per cell.

    Returns
    -------
    Rows of each file.
    """
    bounds = cell_bounds(merged)
    budget.require(
        need,
        cells=int(bounds[-1]),
        values=min(sketch_cells, int(bounds[-1])) * max(min_values, max_values_per_cell(merged)),
        remedy="lower genes.sketch_cells",
    )
    labels, batches = (joint_codes(merged, column)[0] for column in ("label", "batch"))
    labels[~training] = -1
    rows = stratified_sketch(labels, sketch_cells, seed=seed, within=batches)
    starts = np.searchsorted(rows, bounds)
    return [rows[starts[n] : starts[n + 1]] - bounds[n] for n in range(len(merged))]


def max_values_per_cell(merged: list[str]) -> float:
    """Largest mean of stored values per cell among the files."""
    most = 0.0
    for path in merged:
        with H5adReader(path) as reader:
            most = max(most, reader.nonzeros / max(1, reader.n_cells))
    return most


def common_obs(paths: Sequence[str | Path]) -> dict[str, np.dtype | None]:
    """Columns of obs that all files have, and their types; None for strings.

    A column with numbers in some files and strings in others is left out, with a line in the log.
    """
    of_files: list[dict[str, np.dtype | None]] = []
    for path in paths:
        with H5adReader(path) as reader:
            of_files.append({column: reader.dtype(column) for column in reader.obs_columns})
    common: dict[str, np.dtype | None] = {}
    for column in of_files[0]:
        if not all(column in columns for columns in of_files):
            continue
        dtypes = [columns[column] for columns in of_files]
        if all(dtype is None for dtype in dtypes):
            common[column] = None
        elif not any(dtype is None for dtype in dtypes):  # `in` compares None equal to float64
            common[column] = np.result_type(*dtypes)
        else:
            print(f"obs column '{column}' is left out: it has numbers in some references, text in others")
    return common
