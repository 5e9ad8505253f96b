"""Vectors of R of any length: numbers by slices, strings one after another, columns of tables.

Vectors that `stream.read_tree` did not keep are read from the file. In a compressed file, reading requires
unpacking everything before them, so the needed vectors are first copied to a temporary file in one pass.
"""

import io
import itertools
import math
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import InputError
from ..interface import Cells
from ..values import check_levels
from .nodes import HAS_NO_VALUE, WIDTHS, Node, Tree
from .stream import Stream

NO_INTEGER = np.iinfo(np.int32).min
"""R's NA for integers and logical values."""

READ_AT_ONCE = 1 << 20
LATIN_1, UTF_8 = 1 << 14, 1 << 15
NA = b"\xff"
"""Mark of a missing string among UTF-8 strings, in which this byte cannot occur."""

DIGITS = 15
"""Significant digits of a number that R writes as a string."""


class Vectors:
    """Access to the vectors of a tree.

    Parameters
    ----------
    tree
        The file.
    file
        File with the bytes of long vectors, at `places` by offset, or at the offsets themselves.
    places
        Positions by offset; None if `file` is the R file itself, uncompressed.
    """

    def __init__(self, tree: Tree, file: Path | None, places: dict[int, int] | None) -> None:
        self._tree = tree
        self._file = file
        self._places = places

    def numbers(self, node: Node) -> "Numbers":
        """A numeric vector in its stored type; NA is the smallest integer."""
        return Numbers(self, node)

    def values(self, node: Node) -> "Numbers":
        """A numeric vector with NA as NaN: slices with NA become float64."""
        return Numbers(self, node, with_missing=True)

    def open(self, node: Node) -> IO[bytes]:
        """Open a file at the first byte of a vector."""
        if node.kept is not None:
            return io.BytesIO(node.kept)
        if self._file is None or (self._places is not None and node.offset not in self._places):
            raise InputError(
                f"{self._tree.path}: a {node.kind} vector of length {node.length} is in a place where only a "
                "short one can be read; save the object again with its current version"
            )
        file = open(self._file, "rb")  # noqa: SIM115 (for the caller to close)
        file.seek(node.offset if self._places is None else self._places[node.offset])
        return file

    def strings(self, node: Node) -> Iterator[str | None]:
        """Yield the strings of a vector, None for NA."""
        if node.strings_of is not None:
            yield from _as_strings(self.numbers(node.strings_of))
            return
        unpack = struct.Struct(f"{node.order}ii").unpack_from
        with self.open(node) as file:
            held, at = b"", 0
            for _ in range(node.length):
                while len(held) - at < 8 or len(held) - at - 8 < unpack(held, at)[1]:
                    more = file.read(READ_AT_ONCE)
                    if not more:
                        raise EOFError("it ends in the middle of a vector of strings")
                    held, at = held[at:] + more, 0
                flags, length = unpack(held, at)
                at += 8
                if length == HAS_NO_VALUE:
                    yield None
                else:
                    yield self._decode(held[at : at + length], flags)
                    at += length

    def _decode(self, string: bytes, flags: int) -> str:
        if string.isascii():
            return string.decode("ascii")
        encoding = "utf-8" if flags & UTF_8 else "latin-1" if flags & LATIN_1 else self._tree.encoding
        try:
            return string.decode(encoding)
        except (
            UnicodeDecodeError,
            LookupError,
        ):  # R does not check the marked encoding, and Python may not support its name
            return string.decode("latin-1")

    def array(self, node: Node) -> np.ndarray:
        """All strings of a vector, as an object array."""
        strings = np.empty(node.length, dtype=object)
        strings[:] = list(self.strings(node))
        return strings


@contextmanager
def vectors(tree: Tree, nodes: Iterable[Node], folder: Path) -> Iterator[Vectors]:
    """Make vectors readable.

    Parameters
    ----------
    tree
        The file.
    nodes
        The needed vectors. Those of a compressed file are copied, unless they were kept.
    folder
        Folder of the copy, which lasts as long as the context.
    """
    missing = {node.offset: node for node in _stored(nodes) if node.kept is None}
    if not missing:
        yield Vectors(tree, None, None)
        return
    if not tree.is_packed:
        yield Vectors(tree, tree.path, None)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="r-vectors-") as copy:
        places = {}
        with Stream(tree.path) as stream:
            for offset in sorted(missing):
                stream.skip(offset - stream.position)
                places[offset] = copy.tell()
                stream.copy(missing[offset].size, copy)
        copy.flush()
        yield Vectors(tree, Path(copy.name), places)


def _stored(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield the stored vectors with the values of the given nodes, including levels and runs."""
    for node in nodes:
        if node.kind == "S4":  # runs of equal values
            yield from _stored(node.attributes.values())
        elif node.strings_of is not None:
            yield from _stored([node.strings_of])
        elif node.size and node.sequence is None:
            yield node
        if "levels" in node.attributes:
            yield from _stored([node.attributes["levels"]])


class Numbers:
    """A numeric vector that is read by slices and never held as a whole.

    Attributes
    ----------
    shape, dtype
        As for an array.
    """

    def __init__(self, vectors: Vectors, node: Node, *, with_missing: bool = False) -> None:
        self._vectors = vectors
        self._node = node
        self._stored = np.dtype(node.order + WIDTHS[node.kind])
        self._with_missing = with_missing and node.kind != "double"
        self.shape = (node.length,)
        self.dtype = self._stored.newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        n = max(0, stop - start)
        if self._node.sequence is not None:
            first, step = self._node.sequence
            return (first + step * np.arange(start, start + n)).astype(self.dtype)
        with self._vectors.open(self._node) as file:
            file.seek(start * self._stored.itemsize, io.SEEK_CUR)
            content = file.read(n * self._stored.itemsize)
        if len(content) < n * self._stored.itemsize:
            raise EOFError("it ends in the middle of a vector of numbers")
        values = np.frombuffer(content, dtype=self._stored).astype(self.dtype, copy=False)
        if self._with_missing and n and values.min() == NO_INTEGER:
            return np.where(values == NO_INTEGER, np.nan, values)
        return values


def _as_strings(numbers: Numbers) -> Iterator[str | None]:
    for start in range(0, len(numbers), READ_AT_ONCE):
        for number in numbers[start : start + READ_AT_ONCE].tolist():
            if isinstance(number, int):
                yield None if number == NO_INTEGER else str(number)
            else:
                yield _number_string(number)


def _number_string(number: float) -> str | None:
    """A number as R's as.character writes it: shortest digits, with an exponent if that is shorter."""
    if math.isnan(number):
        return None
    if math.isinf(number):
        return "Inf" if number > 0 else "-Inf"
    rounded = float(f"{number:.{DIGITS - 1}e}")
    digits = next(n for n in range(DIGITS) if n == DIGITS - 1 or float(f"{number:.{n}e}") == rounded)
    with_exponent = f"{number:.{digits}e}"
    decimals = max(0, digits - int(with_exponent.partition("e")[2]))
    fixed = f"{number:.{decimals}f}"
    return fixed if len(fixed) <= len(with_exponent) else with_exponent


class Annotation:
    """Names and annotation of cells.

    Parameters
    ----------
    vectors
        Access to the nodes that follow.
    names
        Names of the cells; their numbers if None.
    columns
        Columns by name; each must pass `is_column`.
    in_order
        True if cells are taken one after another; otherwise names and columns are held in memory.
    """

    def __init__(
        self, vectors: Vectors, names: Node | None, columns: dict[str, Node], *, in_order: bool
    ) -> None:
        kind = _InOrder if in_order else _Held
        self._names = None if names is None else kind(vectors, names)
        self._columns = {column: _column(vectors, node, kind) for column, node in columns.items()}

    def take(self, rows: slice | np.ndarray) -> Cells:
        """Cells of the given rows; with `in_order`, a slice that follows the previous one."""
        if self._names is None:
            numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
            names = (numbers + 1).astype(str).astype(object)
        else:
            names = self._names.take(rows)
        return Cells(names, {column: values.take(rows) for column, values in self._columns.items()})


def is_column(node: Node, n_cells: int) -> bool:
    """True if a value is a supported column of a table: strings, a factor, or numbers."""
    if "dim" in node.attributes or _is_integer64(node):
        return False
    if _is_runs(node):
        values, lengths = node.attributes["values"], node.attributes["lengths"]
        return is_column(values, lengths.length)
    return node.length == n_cells and (node.kind in WIDTHS or node.kind == "character")


def is_text(node: Node) -> bool:
    """True if a column contains strings."""
    if _is_runs(node):
        return is_text(node.attributes["values"])
    return node.kind == "character" or _is_factor(node)


def _is_factor(node: Node) -> bool:
    return node.kind == "integer" and "levels" in node.attributes


def _is_integer64(node: Node) -> bool:
    """True if doubles are the bits of 64-bit integers, as in package bit64."""
    return "integer64" in node.classes


def _is_runs(node: Node) -> bool:
    """True if a value is Bioconductor's Rle: values with the lengths of their runs."""
    return node.kind == "S4" and {"values", "lengths"} <= node.attributes.keys()


class _InOrder:
    """Strings that are taken one after another; none are held."""

    def __init__(self, vectors: Vectors, node: Node) -> None:
        self._strings = vectors.strings(node)

    def take(self, rows: slice) -> np.ndarray:
        taken = list(itertools.islice(self._strings, rows.stop - rows.start))
        strings = np.empty(len(taken), dtype=object)
        strings[:] = taken
        return strings


class _Held:
    """Strings that are taken in any order; held as bytes, with 8 bytes more per string."""

    def __init__(self, vectors: Vectors, node: Node) -> None:
        self._bytes = bytearray()
        self._ends = np.zeros(node.length + 1, dtype=np.int64)
        for number, string in enumerate(vectors.strings(node), start=1):
            self._bytes += NA if string is None else string.encode()
            self._ends[number] = len(self._bytes)

    def take(self, rows: slice | np.ndarray) -> np.ndarray:
        begins, ends = self._ends[:-1][rows].tolist(), self._ends[1:][rows].tolist()
        found = (bytes(self._bytes[begin:end]) for begin, end in zip(begins, ends, strict=True))
        strings = np.empty(len(begins), dtype=object)
        strings[:] = [None if string == NA else string.decode() for string in found]
        return strings


class _Measured:
    """Numbers; integers become floats in all rows if one of them is missing."""

    def __init__(self, vectors: Vectors, node: Node) -> None:
        self._values = vectors.values(node)
        steps = range(0, len(self._values), READ_AT_ONCE)
        kinds = {self._values[start : start + READ_AT_ONCE].dtype for start in steps}
        self._dtype = np.result_type(*kinds) if kinds else self._values.dtype
        self._held: np.ndarray | None = None

    def take(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            return self._values[rows].astype(self._dtype, copy=False)
        if self._held is None:
            self._held = self._values[:].astype(self._dtype, copy=False)
        return self._held[rows]


class _Named:
    """Codes with names: factors (from 1 on), and logical values."""

    def __init__(self, vectors: Vectors, node: Node, names: np.ndarray, first: int) -> None:
        self._codes = vectors.numbers(node)
        self._names = np.append(names, None)
        self._first = first
        self._held: np.ndarray | None = None

    def take(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            codes = self._codes[rows]
        else:
            self._held = self._codes[:] if self._held is None else self._held
            codes = self._held[rows]
        known = (codes >= self._first) & (codes < self._first + len(self._names) - 1)
        return self._names[np.where(known, codes.astype(np.int64) - self._first, len(self._names) - 1)]


class _Runs:
    """Values with the lengths of their runs."""

    def __init__(self, vectors: Vectors, node: Node) -> None:
        values, lengths = node.attributes["values"], node.attributes["lengths"]
        self._values = _column(vectors, values, _Held).take(np.arange(values.length))
        runs = vectors.numbers(lengths)[:]
        if np.any(runs < 0):
            raise OSError("a run of equal values has a negative length")
        self._ends = np.cumsum(runs, dtype=np.int64)

    def take(self, rows: slice | np.ndarray) -> np.ndarray:
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        if len(numbers) and numbers.max() >= self._ends[-1:].sum():
            raise OSError(f"runs of equal values end at row {self._ends[-1:].sum()}, but there are more rows")
        return self._values[np.searchsorted(self._ends, numbers, side="right")]


def _column(vectors: Vectors, node: Node, kind: type) -> "_InOrder | _Held | _Measured | _Named | _Runs":
    if _is_runs(node):
        return _Runs(vectors, node)
    if _is_factor(node):
        levels = vectors.array(node.attributes["levels"])
        check_levels(levels, "a factor")
        return _Named(vectors, node, levels, first=1)
    if node.kind == "logical":
        return _Named(vectors, node, np.array(["False", "True"], dtype=object), first=0)
    return kind(vectors, node) if node.kind == "character" else _Measured(vectors, node)
