"""The two compared tables of predictions: their paths, and their cells in blocks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...artifacts.latents import blocks, count_cells
from ...core.problems import Problem
from ...core.text import first_few
from ...errors import InputError

COLUMNS = {name: pa.string() for name in ("cell", "label", "level", "reason", "best_label")}
COLUMNS["probability"] = pa.float32()
"""Compared columns, and their types."""

listed = partial(first_few, most=10)

HELD_OUT = "test"
"""Name of the table of the reference's held-out cells, in the same folder as those of queries."""


@dataclass(frozen=True)
class Answers:
    """Predictions for a query.

    Attributes
    ----------
    key
        `A` or `B`.
    path
        Parquet file.
    """

    key: str
    path: Path

    @property
    def query(self) -> str:
        """Name of the query."""
        return self.path.stem

    @property
    def results(self) -> Path:
        """The folder of results, if the table is in one."""
        return self.path.parent.parent

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns and metadata of the table.

        Raises
        ------
        InputError
            If it cannot be read, or lacks a compared column.
        """
        with readable(self.path):
            schema = pq.read_schema(self.path)
        missing = [name for name in COLUMNS if name not in schema.names]
        if missing:
            what = f"has no column {missing[0]}"
            remedy = "name a table that the workflow wrote, such as results/predictions/kidney.parquet"
            raise InputError(Problem(str(self.path), what, remedy))
        return schema

    @cached_property
    def n_cells(self) -> int:
        """Number of cells."""
        with readable(self.path):
            return count_cells([self.path])

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The cells in blocks; compared columns are converted to their types.

        Raises
        ------
        InputError
            If the table cannot be read, or a cell has no name or no label.
        """
        start = 0
        with readable(self.path):
            for block in blocks([self.path], list(columns)):
                arrays = [
                    block.column(name).cast(COLUMNS.get(name, block.schema.field(name).type), safe=False)
                    for name in columns
                ]
                typed = pa.RecordBatch.from_arrays(arrays, names=list(columns))
                for name in {"cell", "label"} & set(columns):
                    self._check_no_null(typed.column(name), name, start)
                start += len(typed)
                yield typed

    def _check_no_null(self, column: pa.Array, name: str, start: int) -> None:
        if column.null_count:
            row = start + column.is_null().index(True).as_py() + 1
            what = f"row {row} has no {name}"
            raise InputError(Problem(str(self.path), what, "run snakemake again in its folder"))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn pyarrow's errors for damaged or unsuitable files into an `InputError`."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        what = f"cannot be read as parquet ({' '.join(str(error).split())[:200]})"
        remedy = "name a table of predictions; if it is one, copy it again or run snakemake again"
        raise InputError(Problem(str(path), what, remedy)) from error


def find_answers(a: str, b: str, query: str = "") -> tuple[Answers, Answers]:
    """Find the tables of two paths: parquet files, or folders of results.

    Raises
    ------
    InputError
        If there is no table, or a choice between several queries.
    """
    tables = {"A": tables_in("A", a), "B": tables_in("B", b)}
    if query:
        for key, found in tables.items():
            if query not in found:
                raise InputError(
                    f"{key}={(a, b)[key == 'B']}: contains predictions of {listed(found)}, not of {query}; "
                    "name another query or folder"
                )
        return Answers("A", tables["A"][query]), Answers("B", tables["B"][query])
    files = [len(found) == 1 for found in tables.values()]
    if all(files) and Path(a).is_file() and Path(b).is_file():
        # A dataset can have another name in another configuration: cells are matched by name.
        return Answers("A", *tables["A"].values()), Answers("B", *tables["B"].values())
    shared = sorted(tables["A"].keys() & tables["B"].keys())
    queries = [name for name in shared if name != HELD_OUT] or shared
    if not queries:
        raise InputError(
            f"A contains predictions of {listed(tables['A'])}, B of {listed(tables['B'])}: no common query; "
            "name two files, such as A=old/results/predictions/kidney.parquet"
        )
    if len(queries) > 1:
        raise InputError(
            f"A and B contain predictions of {listed(queries)}; name one, such as QUERY={queries[0]}"
        )
    return Answers("A", tables["A"][queries[0]]), Answers("B", tables["B"][queries[0]])


def tables_in(key: str, given: str) -> dict[str, Path]:
    """Tables by query, of a file, a folder `results`, a run's folder or a folder of tables."""
    if not given:
        raise InputError(f"{key}= is missing; name a folder or a table, such as {key}=old/results")
    path = Path(given)
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise InputError(f"{key}={given}: does not exist; name a folder or a table of predictions")
    for folder in (path / "predictions", path / "results" / "predictions", path):
        found = {each.stem: each for each in sorted(folder.glob("*.parquet"))}
        if found:
            return found
    raise InputError(
        f"{key}={given}: contains no predictions/*.parquet; finish that run, or name a folder that has them"
    )
