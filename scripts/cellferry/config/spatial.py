"""Outputs of imaging instruments: counts in a folder, and a table of coordinates beside them.

They are recognized by file names. Imported by the Snakefile: standard library only.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FIELD, NUMBER = "fov", "cell_id"
"""Columns that identify CosMx cells: field of view, and number within it."""


class Instrument(NamedTuple):
    """File names of an instrument.

    Attributes
    ----------
    name
        Its name.
    counts
        Pattern of the name of a file with counts: text before and after its own part.
    tables
        Names of the table of cells, the first existing one is used; `{before}` and `{after}` are the same.
    columns
        Columns of the table with the coordinates.
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
        Existing tables, the one to read first; empty if it is missing.
    columns
        Columns of the table with the coordinates.
    expected
        Expected name of the table.
    """

    instrument: str
    paths: list[Path]
    columns: tuple[str, str]
    expected: str


def key_order(names: list[str]) -> tuple[int, int] | None:
    """Positions of number and field of view in a CosMx table's first two columns; None for others."""
    first = [name.strip().casefold() for name in names[:2]]
    return (first.index(NUMBER), first.index(FIELD)) if sorted(first) == [NUMBER, FIELD] else None


def counts_in(folder: Path) -> Path | None:
    """The file of counts in an instrument's folder; None for other folders, or several files."""
    if not folder.is_dir():
        return None
    files = sorted(file for file in folder.iterdir() if file.is_file())
    for instrument in INSTRUMENTS:
        found = [file for file in files if instrument.counts.fullmatch(file.name)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def cell_table(counts: Path) -> CellTable | None:
    """The table of cells beside counts; None for a file without an instrument's name."""
    for instrument in INSTRUMENTS:
        if match := instrument.counts.fullmatch(counts.name):
            names = [name.format(**match.groupdict()) for name in instrument.tables]
            paths = [counts.parent / name for name in names]
            there = [path for path in paths if path.is_file()]
            return CellTable(instrument.name, there, instrument.columns, names[0])
    return None


def coordinate_tables(files: Iterable[Path], coordinates: str | list[str], role: str) -> list[Path]:
    """Tables of coordinates for a dataset's files, by its configuration keys."""
    if coordinates != "auto" or role == "reference":
        return []
    tables = (cell_table(file) for file in files)
    return [table.paths[0] for table in tables if table is not None and table.paths]
