"""What every format offers: a header, cells (names and annotation), and blocks of counts."""

import dataclasses
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from ..core.contents import START_BYTES, unpacked
from ..core.hdf5_links import as_text
from ..errors import InputError
from .hdf5 import open_hdf5
from .options import Options

BYTES_PER_VALUE = 8
"""A float32 value and its int32 column index."""

BYTES_PER_CELL = 128
"""A cell's name and row pointer, so that cells without counts cannot fill the memory either."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file holds, as far as it can be told without reading its counts.

    Attributes
    ----------
    path, format, options
        The file, its format's name in the registry, and the options it was read with.
    n_cells, n_genes
        Shape of the counts.
    nonzeros
        Number of stored values; None if it is unknown before the counts are read.
    dtype
        Type of the stored values.
    storage
        `csr`, `csc`, `dense`, `dense genes × cells`, or `text` in tables.
    places
        The places where counts could be (`X`, `raw`, `layers/NAME`; `matrix` in formats that have
        one place only), and whether their first values look like counts.
    counts
        The chosen place; None if the file has no matrix at all.
    var
        Genes that go with the counts: names as the index, and all columns of strings.
    obs_columns
        Names of the cells' annotation columns.
    preview
        Some values of the chosen place, from its beginning (and middle and end where they can be reached).
    obsm
        Number of columns of each array in obsm, by its name, where the format has any.
    values
        `counts`, or `intensities`: where the configuration says so, and in FCS files in any case.
    held_mb
        MB that reading takes besides the blocks.
    remarks
        What the reader chose among several things, or left out: sentences for the log.
    warnings
        The same, where it should be looked at.
    details
        What the format found out and needs for reading on.
    states
        See `core.reading.state_of`: what the file, and each that holds parts of it, was like before its
        header was read.
    """

    path: Path
    format: str
    options: Options
    n_cells: int
    n_genes: int
    nonzeros: int | None
    dtype: str
    storage: str
    places: dict[str, bool]
    counts: str | None
    var: pd.DataFrame
    obs_columns: list[str]
    preview: np.ndarray
    obsm: dict[str, int] = field(default_factory=dict)
    values: str = "counts"
    held_mb: int = 0
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    states: dict[Path, str] = field(default_factory=dict)

    @property
    def is_seekable(self) -> bool:
        """Whether reading can begin with any cell: `blocks` of the format takes `start` and `stop` then.

        Formats that are read from front to back say in `details["sorted"]` whether cells come in order.
        """
        return self.storage in ("csr", "csc", "dense") and "sorted" not in self.details

    @property
    def in_order(self) -> bool:
        """Whether the first cells' counts can be had without reading all."""
        return bool(self.details.get("sorted", self.storage in ("csr", "dense")))

    def replace(self, **changes: Any) -> "Header":
        """A copy with some of the attributes changed."""
        return dataclasses.replace(self, **changes)


class FileSignature(NamedTuple):
    """What a first look at a file or folder shows.

    Attributes
    ----------
    start
        The first bytes of a file, unpacked as often as it was packed.
    groups
        Names in an HDF5 file, each with the names in it if it is a group; None for other files.
    inside
        Sorted names in a folder or, on its first level, in a zip archive.
    """

    start: bytes
    groups: dict[str, set[str]] | None
    inside: list[str]

    @classmethod
    def of(cls, path: Path, options: Options) -> "FileSignature":
        """Look at a file or folder."""
        if path.is_dir():
            return cls(b"", None, sorted(entry.name for entry in path.iterdir()))
        if h5py.is_hdf5(path):
            with open_hdf5(path, options) as file:
                # A link that leads nowhere has a name and is nothing; a name that is no UTF-8 comes as bytes.
                items = {as_text(name): file.get(name) for name in file}
                groups = {
                    name: set(item) if isinstance(item, h5py.Group) else set() for name, item in items.items()
                }
            return cls(b"", groups, [])
        inside: list[str] = []
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = sorted({name.split("/")[0] for name in archive.namelist()})
        with unpacked(path) as (file, _):
            return cls(file.read(START_BYTES), None, inside)


class Cells(NamedTuple):
    """Cells without their counts.

    Attributes
    ----------
    names
        Object array of str.
    obs
        Annotation columns: object arrays of str (None where missing), numbers (NaN where missing), or
        booleans. The type may differ from one part of a file to the next.
    """

    names: np.ndarray
    obs: dict[str, np.ndarray]


@dataclass
class Block:
    """Consecutive cells of a file.

    Attributes
    ----------
    counts
        Cells × genes, CSR float32, column indices sorted and unique within each row.
    names, obs
        As in `Cells`.
    controls
        Counts of the control features of each cell, which `counts` lacks; None where a file has none.
    """

    counts: sparse.csr_matrix
    names: np.ndarray
    obs: dict[str, np.ndarray]
    controls: np.ndarray | None = None

    def __len__(self) -> int:
        return self.counts.shape[0]

    def rows(self, selected: slice | np.ndarray) -> "Block":
        """The selected rows, as a block."""
        obs = {column: values[selected] for column, values in self.obs.items()}
        controls = None if self.controls is None else self.controls[selected]
        return Block(self.counts[selected], self.names[selected], obs, controls)


def as_strings(values: np.ndarray) -> np.ndarray:
    """Bytes (UTF-8), numbers or booleans as an object array of str."""
    values = np.asarray(values)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8").astype(object)
    decoded = [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    strings = np.empty(len(decoded), dtype=object)
    strings[:] = decoded
    return strings


def refuse_place(path: Path, options: Options) -> None:
    """Raise an `InputError` if the configuration names a place in a format that has one matrix only."""
    if options.counts != "auto":
        raise InputError(
            f"{path}: {options.key('counts')} is '{options.counts}', but files of this format hold one "
            "matrix only; remove the key"
        )


def choose_place(
    path: Path, places: dict[str, bool], options: Options, automatic: tuple[str, ...]
) -> str | None:
    """The place that the configuration names, or the first that looks like counts.

    Parameters
    ----------
    path
        The file, for messages.
    places
        See `Header.places`.
    options
        Its `counts` may name a layer without `layers/`.
    automatic
        Where `auto` signature, in this order.

    Returns
    -------
    None if there is no matrix at all.

    Raises
    ------
    InputError
        If the named place is not there.
    """
    if options.counts != "auto":
        chosen = next(
            (place for place in (options.counts, f"layers/{options.counts}") if place in places), None
        )
        if chosen is None:
            raise InputError(
                f"{path}: {options.key('counts')} is '{options.counts}', which the file does not have; "
                f"it has: {', '.join(places) or 'no matrix at all'}"
            )
        return chosen
    present = [place for place in automatic if place in places]
    # Where none looks like counts, the first one is named in the message that check_counts gives.
    return next((place for place in present if places[place]), next(iter(present or places), None))
