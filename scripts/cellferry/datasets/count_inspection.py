"""Inspection of the first cells' counts: validity, and values per cell."""

import tempfile
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..artifacts.inspection import InspectedControls, InspectedRounding
from ..core.problems import Problem
from ..errors import InputError
from ..formats import Block, OutOfOrderError
from ..formats.features import CONTROLS
from .dataset import Dataset
from .findings import Findings, as_problems
from .raw_counts import LargestCount, SmallestValues, Source, check_counts, preview_problem
from .rounding import Rounding

FIRST_SLICE_BYTES = 4 * 2**20
FIRST_EVENTS, MIN_EVENTS = 50_000, 100
"""For cytometry: events read from all files after the first together, and from each file at least.

Fewer events may be sorted, or have only small values, by chance.
"""


def first_blocks(dataset: Dataset) -> tuple[dict[int, Block | None], list[Problem]]:
    """The first cells by number of their file, and problems of reading them.

    For cytometry the first cells of all files, else of the first file; None for unreadable ones. The dict is
    empty if the first cells require reading a whole file; a file with few channels is sorted quickly.
    """
    header = dataset.header
    if header.counts is None or header.n_cells == 0 or header.n_genes == 0:
        return {}, []
    if not dataset.in_order and not dataset.is_cytometry:
        return {}, []
    most = max(MIN_EVENTS, FIRST_EVENTS // len(dataset.headers))
    firsts: dict[int, Block | None] = {}
    problems = []
    for number, (start, end) in enumerate(pairwise(dataset.starts.tolist())):
        if number and not dataset.is_cytometry:
            break
        stop = min(end, start + most) if number else None
        try:
            if block := first_block(dataset, start, stop):
                firsts[number] = block
        except InputError as error:
            firsts[number] = None
            problems.append(Problem("", str(error)))
    return firsts, problems


def first_block(dataset: Dataset, start: int, stop: int | None) -> Block | None:
    """The first block of a range of cells; None if the range is empty or the file is not sorted."""
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(2):
            blocks = dataset.blocks([], FIRST_SLICE_BYTES, Path(scratch), start, stop)
            # Closed before the folder with temporary files of sorting is removed.
            with suppress(OutOfOrderError), closing(blocks):
                return next((block for _, block in blocks), None)
            if not dataset.is_cytometry:
                break
    return None


def look_at_counts(dataset: Dataset, firsts: dict[int, Block | None]) -> Findings:
    """Check the counts of the first cells (`first_blocks`)."""
    header = dataset.header
    if header.counts is None or header.n_cells == 0 or header.n_genes == 0:
        return Findings({"values_per_cell": 0.0})
    source = Source.of(header)
    in_header = None if header.nonzeros is None else header.nonzeros / header.n_cells
    smallest, largest, rounding, seen = SmallestValues(), LargestCount(), Rounding(), 0.0
    problems: list[Problem] = []
    if 0 not in firsts:  # the first cells' counts would require a long sort
        seen = np.count_nonzero(header.preview) / max(1, len(header.preview)) * header.n_genes
    for number, file in enumerate(dataset.headers):
        if number not in firsts:
            problem = preview_problem(file.preview, Source.of(file))
            problems += as_problems([problem] if problem else [])
            continue
        block = firsts[number]
        try:
            if block is not None:
                check_counts(block.counts, block.names, header.var.index, Source.of(file))
                if source.is_rounded:
                    rounding.add(block.counts)
                block.counts.eliminate_zeros()
                smallest.add(block.counts)
                largest.add(block.counts, block.names, header.var.index)
                seen = seen or block.counts.nnz / len(block)
        except InputError as error:
            problems.append(Problem("", str(error)))
    doubts = [doubt for doubt in (smallest.doubt(source), largest.doubt(source)) if doubt]
    rounded = None
    if source.is_rounded:
        if 0 not in firsts:
            rounding.largest = float(np.max(header.preview, initial=0))
        print(rounding if rounding.cells else "counts are rounded to whole numbers as they are converted")
        doubts += rounding.doubts(dataset.key("counts_rounding"))
        rounded = InspectedRounding(rounding.cells, rounding.before, rounding.after)
    fields = {
        "values_per_cell": in_header or seen,
        "rounding": rounded,
        "controls": look_at_controls(dataset, firsts),
    }
    return Findings(fields, problems=problems, warnings=doubts)


def look_at_controls(dataset: Dataset, firsts: dict[int, Block | None]) -> InspectedControls | None:
    """Control features of the files, and their share of the first cells' counts (`first_blocks`)."""
    of_files = [header.details[CONTROLS].kinds for header in dataset.headers if CONTROLS in header.details]
    if not of_files:
        return None
    most = max(of_files, key=lambda kinds: sum(kinds.values()))
    seen = [block for block in firsts.values() if block is not None and block.controls is not None]
    controls = float(sum(block.controls.sum() for block in seen))
    found = InspectedControls(
        most, sum(map(len, seen)), controls, float(sum(block.counts.sum(dtype=np.float64) for block in seen))
    )
    print(found)
    return found
