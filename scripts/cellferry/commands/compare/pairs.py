"""Pair the cells of two tables in bounded memory: by order, or else by name."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...artifacts.latents import blocks, chunk_files, count_cells, strings
from ...core.problems import Problem
from ...errors import InputError
from .answers import COLUMNS, Answers, listed

CELLS_PER_PART = 250_000
"""Approximate number of cells that are joined at once."""

BATCH = "batch"


@dataclass
class Pairs:
    """Paired cells of two tables.

    Attributes
    ----------
    a, b
        The tables.
    mapped
        Files with the batches of A's cells, in its order; empty if missing.
    only
        Number of cells that the other table lacks, by `A` and `B`; set after all blocks were read.
    same_order
        True if both contain the same cells in the same order.
    """

    a: Answers
    b: Answers
    mapped: list[Path] = field(init=False)
    only: dict[str, int] = field(default_factory=lambda: {"A": 0, "B": 0})

    def __post_init__(self) -> None:
        self.same_order = self.a.n_cells == self.b.n_cells and are_same(names_of(self.a), names_of(self.b))
        self.mapped = batch_files(self.a)

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Cells of both: columns `a_label`, `b_label` and so on, and `batch` if available.

        Raises
        ------
        InputError
            If a table has duplicate names, or the tables have no cell in common.
        """
        check_distinct(self.a)
        if self.same_order:
            yield from self._in_order()
            return
        check_distinct(self.b)
        try:
            yield from self._joined()
        except OSError as error:
            what = f"temporary files cannot be written ({' '.join(str(error).split())})"
            remedy = "set TMPDIR to a folder with room for both tables"
            raise InputError(Problem(tempfile.gettempdir(), what, remedy)) from error
        if self.only == {"A": self.a.n_cells, "B": self.b.n_cells}:
            raise InputError(
                f"{self.a.path} and {self.b.path} have no cell in common: {first_names(self.a)} are in A, "
                f"{first_names(self.b)} in B; name two tables of the same query"
            )

    def _in_order(self) -> Iterator[pa.RecordBatch]:
        for left, right in lockstep(self._read_a(), self.b.read(list(COLUMNS))):
            columns = prefixed(left, "a_") | prefixed(right, "b_")
            yield pa.RecordBatch.from_pydict(columns)

    def _joined(self) -> Iterator[pa.RecordBatch]:
        """Split both tables into parts on disk by a hash of the names, and join them part by part."""
        n_parts = max(self.a.n_cells, self.b.n_cells) // CELLS_PER_PART + 1
        with tempfile.TemporaryDirectory() as folder:
            for key, source in (("A", self._read_a()), ("B", self.b.read(list(COLUMNS)))):
                cut(source, Path(folder), key, n_parts)
            for part in range(n_parts):
                left, right = (read_part(Path(folder), key, part) for key in "AB")
                left = pa.table(prefixed(left, "a_") | {"cell": left.column("cell")})
                right = pa.table(prefixed(right, "b_") | {"cell": right.column("cell")})
                joined = left.join(right, "cell", join_type="inner", use_threads=False).drop_columns("cell")
                self.only["A"] += len(left) - len(joined)
                self.only["B"] += len(right) - len(joined)
                yield from joined.to_batches()

    def _read_a(self) -> Iterator[pa.RecordBatch]:
        source = self.a.read(list(COLUMNS))
        if not self.mapped:
            return source
        batches = blocks(self.mapped, [BATCH])
        return (
            left.append_column(BATCH, right.column(BATCH).cast(pa.string()))
            for left, right in lockstep(source, batches)
        )


def batch_files(answers: Answers) -> list[Path]:
    """Files with the batches of a table's cells, in its order; empty if missing."""
    paths = chunk_files(answers.results / "mapped" / answers.query)
    try:
        same = count_cells(paths) == answers.n_cells
        same = same and are_same(names_of(answers), blocks(paths, ["cell"]))
        return paths if same and all(BATCH in pq.read_schema(path).names for path in paths) else []
    except (pa.ArrowException, OSError, KeyError):  # batches are optional
        return []


def names_of(answers: Answers) -> Iterator[pa.RecordBatch]:
    """The names of the cells in blocks."""
    return answers.read(["cell"])


def lockstep(*sources: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """Blocks of several sources, cut to the same rows, up to the end of the shortest."""
    rest = [next(source, None) for source in sources]
    while all(each is not None for each in rest):
        rows = min(map(len, rest))
        if rows:
            yield tuple(each.slice(0, rows) for each in rest)
        rest = [
            each.slice(rows) if len(each) > rows else next(source, None)
            for each, source in zip(rest, sources, strict=True)
        ]


def are_same(left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]) -> bool:
    """True if names are equal in order, up to the end of the shorter source."""
    return all(a.column(0).equals(b.column(0)) for a, b in lockstep(left, right))


def prefixed(block: pa.RecordBatch | pa.Table, prefix: str) -> dict[str, pa.Array]:
    """The compared columns with a prefix, and `batch` without one."""
    columns = {f"{prefix}{name}": block.column(name) for name in COLUMNS if name != "cell"}
    return columns | ({BATCH: block.column(BATCH)} if BATCH in block.schema.names else {})


def hashes_of(names: pa.Array) -> np.ndarray:
    """64-bit hashes of names, the same in every process."""
    return pd.util.hash_array(strings(names), categorize=False)


def check_distinct(answers: Answers) -> None:
    """Raise an `InputError` for duplicate names in a table; needs 8 bytes per cell."""
    hashes, start = np.empty(answers.n_cells, dtype=np.uint64), 0
    for block in names_of(answers):
        hashes[start : start + len(block)] = hashes_of(block.column(0))
        start += len(block)
    hashes.sort()
    repeated = hashes[1:][hashes[1:] == hashes[:-1]]
    if not len(repeated):
        return
    seen: set[str] = set()  # different names can have the same hash
    for block in names_of(answers):
        names = block.column(0)
        for name in names.filter(pa.array(np.isin(hashes_of(names), repeated))).to_pylist():
            if name in seen:
                what, remedy = f"duplicate cell name {name!r}", "name a table in which names differ"
                raise InputError(Problem(str(answers.path), what, remedy))
            seen.add(name)


def first_names(answers: Answers) -> str:
    """The first three names of a table, for a message."""
    return listed(
        [repr(name) for block in islice(names_of(answers), 1) for name in block.column(0)[:3].to_pylist()]
    )


def cut(source: Iterator[pa.RecordBatch], folder: Path, key: str, n_parts: int) -> None:
    """Write cells to `n_parts` files in a folder, by the hash of their names."""
    with ExitStack() as closing:
        writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        for block in source:
            parts = (hashes_of(block.column("cell")) % np.uint64(n_parts)).astype(np.int64)
            for part in np.unique(parts).tolist():
                if part not in writers:
                    writer = pa.ipc.new_stream(str(folder / f"{key}{part}"), block.schema)
                    writers[part] = closing.enter_context(writer)
                writers[part].write_batch(block.filter(pa.array(parts == part)))


def read_part(folder: Path, key: str, part: int) -> pa.Table:
    """The cells of a part; empty without a file."""
    path = folder / f"{key}{part}"
    if not path.exists():
        return pa.schema(COLUMNS).empty_table()
    with pa.ipc.open_stream(str(path)) as stream:
        return stream.read_all()
