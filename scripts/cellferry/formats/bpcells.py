"""BPCells folders: one file per array of a compressed sparse matrix, bit-packed or not.

`version` gives packing and type of the values, `storage_order` whether columns or rows are contiguous, and
`idxptr` the start of each. Genes × cells stored by column is cells × genes in CSR. A packed array consists of
runs of 128 integers: `*_data` contains their bits, `*_idx` the start of each run. Gene positions are packed
as differences (`index_starts` contains the first of each run), counts as count - 1.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..core.text import open_text, refuse_special
from ..errors import InputError
from .compressed import check_compressed
from .interface import Block, Cells, FileSignature, Header, Options, refuse_place
from .matrix import csc_rows, csr_rows, glance, looks_like_counts
from .orientation import probably_genes_are_rows

CELLS_AT_ONCE = 1 << 17
NAMES_TO_JUDGE = 5000

MAGIC_BYTES = 8
MAX_WORD_BYTES = 1000
"""Size limit of a file with a single word."""

NUMBERS = {b"UINT32v1": "<u4", b"UINT64v1": "<u8", b"FLOATSv1": "<f4", b"DOUBLEv1": "<f8"}
"""Types of the numbers in a file, by its first bytes."""

VALUES = {"uint": "<u4", "float": "<f4", "double": "<f8"}
VERSION = re.compile(r"(packed|unpacked)-(uint|float|double)-matrix-v([12])")

RUN = 128
RUNS_AT_ONCE = 1 << 13
"""Runs unpacked at once: 4 MB, which fit into the processor's cache."""


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a folder is a BPCells matrix or contains some."""
    return "idxptr" in signature.inside or (path.is_dir() and any(path.glob("*/idxptr")))


def header(path: Path, options: Options) -> Header:
    """Read the header of a BPCells folder; see `interface.Header`."""
    refuse_place(path, options)
    below = sorted(str(file.parent) for file in path.glob("*/idxptr"))
    if below and not (path / "idxptr").is_file():
        raise InputError(
            f"{path}: is not a BPCells matrix itself, but contains {', '.join(below)}; name one of these"
        )
    matrix = open_matrix(path)
    sides = [_lines(path / name) for name in ("row_names", "col_names")]
    samples = [list(itertools.islice(names, NAMES_TO_JUDGE)) for names in sides]
    n_named = [len(some) + sum(1 for _ in rest) for some, rest in zip(samples, sides, strict=True)]
    if tuple(n_named) != matrix.shape:
        raise InputError(
            f"{path}: is {matrix.shape[0]} × {matrix.shape[1]}, but row_names holds {n_named[0]} and "
            f"col_names {n_named[1]} names; write it again with the names of its genes and cells"
        )
    if options.orientation == "auto":
        # R packages store genes × cells.
        cells_are_rows = probably_genes_are_rows(*samples) is False
    else:
        cells_are_rows = options.orientation == "cells"
    names = matrix.column_names if cells_are_rows else matrix.row_names
    values = matrix.glance()
    matrix.check()
    return Header(
        path=path,
        format="bpcells",
        options=options,
        n_cells=matrix.shape[0 if cells_are_rows else 1],
        n_genes=len(names),
        nonzeros=matrix.nonzeros,
        dtype=str(matrix["data"].dtype),
        storage="csr" if matrix.cells_lie_together(cells_are_rows) else "csc",
        places={"matrix": looks_like_counts(values)},
        counts="matrix",
        var=pd.DataFrame(index=pd.Index(names, dtype=object)),
        obs_columns=[],
        preview=values,
        details={"cells_are_rows": cells_are_rows},
    )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names of the cells, about a hundred thousand at a time; the format has no annotation."""
    names = _lines(header.path / ("row_names" if header.details["cells_are_rows"] else "col_names"))
    while some := list(itertools.islice(names, CELLS_AT_ONCE)):
        yield Cells(np.array(some, dtype=object), {})


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts and names of the cells in row blocks; see `formats.blocks`."""
    cells_are_rows = header.details["cells_are_rows"]
    names = itertools.islice(
        _lines(header.path / ("row_names" if cells_are_rows else "col_names")), start, None
    )
    matrix = open_matrix(header.path)
    for counts in matrix.blocks(max_bytes, scratch, cells_are_rows=cells_are_rows, start=start, stop=stop):
        some = list(itertools.islice(names, counts.shape[0]))
        yield Block(counts, np.array(some, dtype=object), {})


def open_matrix(folder: Path) -> "Matrix":
    """Open a BPCells folder and check that its files are consistent.

    Raises
    ------
    InputError
        If it is not such a matrix, of a newer version, or damaged.
    """
    first_line = _line(folder / "version")
    version = VERSION.fullmatch(first_line)
    if version is None:
        raise InputError(
            f"{folder}: is a BPCells folder of version '{first_line}', but only (un)packed uint, float or "
            "double matrices of version 1 or 2 can be read; write the matrix again, for example as 10x mtx"
        )
    return Matrix(folder, is_packed=version[1] == "packed", dtype=VALUES[version[2]], version=int(version[3]))


class Matrix:
    """A matrix in a BPCells folder; its arrays are read in parts.

    Indexed by `indptr`, `indices` and `data`, like an h5py group with a sparse matrix.

    Parameters
    ----------
    folder
        The folder.
    is_packed, dtype, version
        Fields of the folder's version.

    Attributes
    ----------
    shape
        Rows and columns.
    storage_order
        `col` if the entries of a column are contiguous, `row` if those of a row are.
    nonzeros
        Number of stored values.
    """

    name = "the matrix"

    def __init__(self, folder: Path, *, is_packed: bool, dtype: str, version: int) -> None:
        self.folder = folder
        self.storage_order = _line(folder / "storage_order")
        shape = Numbers(folder / "shape", "<u4")[:].tolist()
        if self.storage_order not in ("row", "col") or len(shape) != 2:
            raise InputError(
                f"{folder}: storage_order is '{self.storage_order}' and shape {shape}, but row or col and "
                "two numbers are needed; the folder is damaged: copy or write it again"
            )
        rows, columns = shape
        self.shape = (rows, columns)
        pointers = Numbers(folder / "idxptr", "<u8" if version > 1 else "<u4")
        n_vectors = columns if self.storage_order == "col" else rows
        if len(pointers) != n_vectors + 1:
            raise InputError(
                f"{folder}: is {rows} × {columns} by {self.storage_order}, but idxptr holds {len(pointers)} "
                "numbers; the folder is damaged: copy or write it again"
            )
        self.nonzeros = int(pointers[n_vectors : n_vectors + 1][0])
        indices: Numbers | Packed
        data: Numbers | Packed
        if is_packed:
            indices = Packed(folder, "index", self.nonzeros, has_offsets=version > 1, has_starts=True)
        else:
            indices = Numbers(folder / "index", "<u4")
        if is_packed and dtype == VALUES["uint"]:
            data = Packed(folder, "val", self.nonzeros, has_offsets=version > 1, has_starts=False)
        else:
            data = Numbers(folder / "val", dtype)
        for name, values in (("index", indices), ("val", data)):
            if len(values) != self.nonzeros:
                raise InputError(
                    f"{folder}: {name} holds {len(values)} values instead of the {self.nonzeros} of idxptr; "
                    "the folder is damaged or incomplete: copy or write it again"
                )
        self._parts = {"indptr": pointers, "indices": indices, "data": data}

    def __getitem__(self, part: str) -> "Numbers | Packed":
        return self._parts[part]

    @property
    def row_names(self) -> list[str]:
        """Names of the rows; empty if they were not stored."""
        return list(_lines(self.folder / "row_names"))

    @property
    def column_names(self) -> list[str]:
        """Names of the columns; empty if they were not stored."""
        return list(_lines(self.folder / "col_names"))

    def cells_lie_together(self, cells_are_rows: bool = False) -> bool:
        """True if the entries of a cell are contiguous."""
        return (self.storage_order == "row") == cells_are_rows

    def glance(self) -> np.ndarray:
        """Values from the start, the middle and the end."""
        return glance(self)

    def check(self) -> None:
        """Raise an `InputError` if the arrays are inconsistent."""
        check_compressed(self, "csr" if self.storage_order == "row" else "csc", self.shape, self.folder)

    def blocks(
        self,
        max_bytes: int,
        scratch: Path,
        *,
        cells_are_rows: bool = False,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[sparse.csr_matrix]:
        """Cells × genes in order, as CSR float32 of at most `max_bytes` (8 per value), at least one cell.

        Parameters
        ----------
        max_bytes
            Size of a block.
        scratch
            Folder for temporary files, 12 bytes per value, used if the entries of a cell are not contiguous.
        cells_are_rows
            True if the rows of the matrix are the cells, False if the columns are.
        start, stop
            The first cell, and the one after the last.

        Raises
        ------
        InputError
            If the folder is damaged.
        """
        shape = self.shape if cells_are_rows else self.shape[::-1]
        if self.cells_lie_together(cells_are_rows):
            return csr_rows(self, shape, max_bytes, self.folder, start, stop)
        return csc_rows(self, shape, max_bytes, scratch, self.folder, start, stop)


class Numbers:
    """A file of numbers of one type.

    Parameters
    ----------
    path
        The file.
    dtype
        Type expected from its first bytes.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        refuse_special(path)
        with open(path, "rb") as file:
            start = file.read(MAGIC_BYTES)
        if NUMBERS.get(start) != dtype:
            raise InputError(
                f"{path}: begins with {start!r}, which is not BPCells' mark for numbers of type "
                f"{np.dtype(dtype)}; the file is damaged: copy or write it again"
            )
        self._path = path
        self.dtype = np.dtype(dtype)
        self.shape = ((path.stat().st_size - MAGIC_BYTES) // self.dtype.itemsize,)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        offset = MAGIC_BYTES + start * self.dtype.itemsize
        return np.fromfile(self._path, dtype=self.dtype, count=max(0, stop - start), offset=offset)


class Packed:
    """A bit-packed array of unsigned integers, in files named `NAME_data`, `NAME_idx` and so on.

    Parameters
    ----------
    folder, name
        Folder and NAME.
    n_values
        Its length.
    has_offsets
        True if `NAME_idx_offsets` extends `NAME_idx` beyond 2³².
    has_starts
        True if differences are packed and `NAME_starts` contains the first integer of each run; otherwise
        each integer is packed as its value - 1.
    """

    dtype = np.dtype(np.uint32)

    def __init__(
        self, folder: Path, name: str, n_values: int, *, has_offsets: bool, has_starts: bool
    ) -> None:
        self._where = f"{folder / name}_data"
        self._words = Numbers(folder / f"{name}_data", "<u4")
        self._bounds = Numbers(folder / f"{name}_idx", "<u4")
        self._offsets = Numbers(folder / f"{name}_idx_offsets", "<u8")[:] if has_offsets else np.zeros(1)
        self._starts = Numbers(folder / f"{name}_starts", "<u4") if has_starts else None
        n_runs = -(-n_values // RUN)
        is_whole = (
            len(self._bounds) == n_runs + 1
            and (self._starts is None or len(self._starts) == n_runs)
            and self._offsets[:1].tolist() == [0]
        )
        if not is_whole or int(self._begins(n_runs, n_runs + 1)[0]) > len(self._words):
            raise InputError(
                f"{folder}: the files {name}_* do not contain the {n_values} values of idxptr; the folder is "
                "damaged or incomplete: copy or write it again"
            )
        self.shape = (n_values,)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        first, last = start // RUN, -(-max(start, stop) // RUN)
        values = np.empty((last - first, RUN), dtype=np.uint32)
        for begin in range(first, last, RUNS_AT_ONCE):
            end = min(last, begin + RUNS_AT_ONCE)
            self._unpack(begin, end, values[begin - first : end - first])
        return values.reshape(-1)[start - first * RUN : max(start, stop) - first * RUN]

    def _begins(self, first: int, last: int) -> np.ndarray:
        """Start of each run in the words (int64)."""
        carried = np.searchsorted(self._offsets, np.arange(first, last), side="right") - 1
        return self._bounds[first:last].astype(np.int64) + (carried << 32)

    def _unpack(self, first: int, last: int, out: np.ndarray) -> None:
        begins = self._begins(first, last + 1)
        sizes = np.diff(begins)
        if np.any((sizes < 0) | (sizes > RUN) | (sizes % 4 > 0)):
            raise InputError(
                f"{self._where}: its runs do not have the lengths of packed integers; the folder is damaged: "
                "copy or write it again"
            )
        words = self._words[int(begins[0]) : int(begins[-1])]
        unpack_bits(words, begins - begins[0], out)
        if self._starts is None:
            out += 1
            return
        # Zigzag: 0, -1, 1, -2, … as 0, 1, 2, 3, …; arithmetic modulo 2³² handles the sign.
        np.bitwise_xor(out >> 1, -(out & 1), out=out)
        out[:, 0] += self._starts[first:last]
        np.cumsum(out, axis=1, out=out)


def unpack_bits(words: np.ndarray, begins: np.ndarray, out: np.ndarray) -> None:
    """Unpack runs of 128 integers that are interleaved four by four, as in SIMD registers.

    Parameters
    ----------
    words
        The packed bits (uint32).
    begins
        Start of each run in the words, and end of the last; a run of b bits has 4 b words.
    out
        Runs × 128 (uint32), overwritten.
    """
    bits_of_runs = np.diff(begins) // 4
    for bits in np.unique(bits_of_runs).tolist():
        runs = np.flatnonzero(bits_of_runs == bits)
        if bits == 0:
            out[runs] = 0
            continue
        packed = words[begins[runs][:, None] + np.arange(4 * bits)].reshape(-1, bits, 4)
        packed = np.ascontiguousarray(packed.transpose(1, 2, 0))  # all runs at once, word by word
        unpacked = np.empty((RUN // 4, 4, len(runs)), dtype=np.uint32)
        mask = np.uint32((1 << bits) - 1)
        for place in range(RUN // 4):
            word, shift = divmod(place * bits, 32)
            values = packed[word] >> np.uint32(shift)
            if shift + bits > 32:
                values |= packed[word + 1] << np.uint32(32 - shift)
            np.bitwise_and(values, mask, out=unpacked[place])
        out[runs] = unpacked.reshape(RUN, -1).T


def _line(path: Path) -> str:
    with open_text(path) as file:
        return " ".join(file.read(MAX_WORD_BYTES).decode().split())


def _lines(path: Path) -> Iterator[str]:
    with open_text(path) as file:
        for line in file:
            yield line.decode().rstrip("\n")
