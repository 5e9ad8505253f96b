"""Outputs of instruments that image cells: the counts in a folder, and the table of coordinates beside them.

Known by their names alone. Read by the Snakefile too, so it imports nothing that a login node with Snakemake
alone lacks.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FIELD, NUMBER = "fov", "cell_id"
"""Columns that name the cells of CosMx: the field of view, and a number in it."""


class Instrument(NamedTuple):
    """How an instrument names its files.

    Attributes
    ----------
    name
        Its name.
    counts
        Pattern of the name of a file with counts: what stands before and after the part that is its own.
    tables
        Names of the table of cells, the first that is there counts; `{before}` and `{after}` are the same.
    columns
        Columns of that table with the coordinates.
    """

    name: str
    counts: re.Pattern[str]
    tables: tuple[str, ...]
    columns: tuple[str, str]


INSTRUMENTS = (
    Instrument(
        "Xenium",
        re.compile(r"(?P<before>.*)cell_feature_matrix(?P<after>)(\.h5)?"),
        ("{before}cells.parquet", "{before}cells.csv.gz", "{before}cells.csv"),
        ("x_centroid", "y_centroid"),
    ),
    Instrument(
        "CosMx",
        re.compile(r"(?P<before>.*)exprMat_file(?P<after>)\.csv(\.gz)?"),
        ("{before}metadata_file.csv", "{before}metadata_file.csv.gz"),
        ("CenterX_global_px", "CenterY_global_px"),
    ),
    Instrument(
        "MERSCOPE",
        re.compile(r"(?P<before>.*)cell_by_gene(?P<after>.*)\.csv(\.gz)?"),
        ("{before}cell_metadata{after}.csv", "{before}cell_metadata{after}.csv.gz"),
        ("center_x", "center_y"),
    ),
)


class CellTable(NamedTuple):
    """A table of cells beside counts.

    Attributes
    ----------
    instrument
        Name of the instrument that wrote both.
    paths
        The tables that there are, the one to read first; none where it is missing.
    columns
        Its columns with the coordinates.
    expected
        Name that it should have.
    """

    instrument: str
    paths: list[Path]
    columns: tuple[str, str]
    expected: str


def key_order(names: list[str]) -> tuple[int, int] | None:
    """Positions of number and field of view, the first two columns of a table of CosMx; None for another."""
    first = [name.strip().casefold() for name in names[:2]]
    return (first.index(NUMBER), first.index(FIELD)) if sorted(first) == [NUMBER, FIELD] else None


def counts_in(folder: Path) -> Path | None:
    """The file of counts in an instrument's folder; None in another, or where there are several."""
    if not folder.is_dir():
        return None
    files = sorted(file for file in folder.iterdir() if file.is_file())
    for instrument in INSTRUMENTS:
        found = [file for file in files if instrument.counts.fullmatch(file.name)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def cell_table(counts: Path) -> CellTable | None:
    """The table of cells beside counts; None beside a file that is not called as an instrument calls it."""
    for instrument in INSTRUMENTS:
        if match := instrument.counts.fullmatch(counts.name):
            names = [name.format(**match.groupdict()) for name in instrument.tables]
            paths = [counts.parent / name for name in names]
            there = [path for path in paths if path.is_file()]
            return CellTable(instrument.name, there, instrument.columns, names[0])
    return None


def coordinate_tables(files: Iterable[Path], coordinates: str | list[str], role: str) -> list[Path]:
    """Tables of coordinates that reading a dataset's files takes, by its configuration keys."""
    if coordinates != "auto" or role == "reference":
        return []
    tables = (cell_table(file) for file in files)
    return [table.paths[0] for table in tables if table is not None and table.paths]
