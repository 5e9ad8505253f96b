"""Common types of all formats: header, cells (names and annotation), and blocks of counts."""

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
"""A cell's name and row pointer; included so that cells without counts cannot fill the memory either."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Content of a file, as far as it is known without reading the counts.

    Attributes
    ----------
    path, format, options
        The file, the name of its format, and the options used to read it.
    n_cells, n_genes
        Shape of the counts.
    nonzeros
        Number of stored values; None if unknown before the counts are read.
    dtype
        Type of the stored values.
    storage
        `csr`, `csc`, `dense`, `dense genes × cells`, or `text` for tables.
    places
        Possible places of the counts (`X`, `raw`, `layers/NAME`; `matrix` in formats with a single one), each
        with whether its first values look like counts.
    counts
        The selected place; None if the file has no matrix.
    var
        Genes of the counts: names as the index, and all columns of strings.
    obs_columns
        Names of the cells' annotation columns.
    preview
        Some values of the selected place, from its start (and middle and end if accessible).
    obsm
        Number of columns per array in obsm, by name, if the format has obsm.
    values
        `counts`, or `intensities`: if configured, and always for FCS files.
    held_mb
        MB that reading needs besides the blocks.
    remarks
        Choices of the reader and parts that it left out, as sentences for the log.
    warnings
        The same, for those that the user should check.
    details
        Information that the format needs for further reading.
    states
        States (`core.reading.state_of`) of the file and of all files with parts of it, before the header was
        read.
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
        """True if reading can begin at any cell: the format's `blocks` then takes `start` and `stop`.

        Formats that are read from front to back set `details["sorted"]`: True if cells are in order.
        """
        return self.storage in ("csr", "csc", "dense") and "sorted" not in self.details

    @property
    def in_order(self) -> bool:
        """True if the first cells' counts are available without reading everything."""
        return bool(self.details.get("sorted", self.storage in ("csr", "dense")))

    def replace(self, **changes: Any) -> "Header":
        """A copy with some attributes replaced."""
        return dataclasses.replace(self, **changes)


class FileSignature(NamedTuple):
    """First bytes of a file, and names in a file or folder.

    Attributes
    ----------
    start
        The first bytes of a file, with all compression removed.
    groups
        Names in an HDF5 file, each with the names in it if it is a group; None for other files.
    inside
        Sorted names in a folder or, on its top level, in a zip archive.
    """

    start: bytes
    groups: dict[str, set[str]] | None
    inside: list[str]

    @classmethod
    def of(cls, path: Path, options: Options) -> "FileSignature":
        """Read the signature of a file or folder."""
        if path.is_dir():
            return cls(b"", None, sorted(entry.name for entry in path.iterdir()))
        if h5py.is_hdf5(path):
            with open_hdf5(path, options) as file:
                # A broken link has a name but no object; a name that is not UTF-8 is returned as bytes.
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
        Annotation columns: object arrays of str (None if missing), numbers (NaN if missing), or booleans. The
        type may differ between parts of a file.
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
        Counts of the control features per cell, which are not in `counts`; None without any.
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
    """Raise an `InputError` if the configuration names a place in a format with a single matrix."""
    if options.counts != "auto":
        raise InputError(
            f"{path}: {options.key('counts')} is '{options.counts}', but files of this format contain only "
            "one matrix; remove the key"
        )


def choose_place(
    path: Path, places: dict[str, bool], options: Options, automatic: tuple[str, ...]
) -> str | None:
    """The configured place of the counts, or the first that looks like counts.

    Parameters
    ----------
    path
        The file, for messages.
    places
        See `Header.places`.
    options
        Options whose `counts` may name a layer without `layers/`.
    automatic
        Places that `auto` tries, in this order.

    Returns
    -------
    Name of the place; None if there is no matrix.

    Raises
    ------
    InputError
        If the configured place is missing.
    """
    if options.counts != "auto":
        chosen = next(
            (place for place in (options.counts, f"layers/{options.counts}") if place in places), None
        )
        if chosen is None:
            raise InputError(
                f"{path}: {options.key('counts')} is '{options.counts}', which is not in the file; "
                f"it has: {', '.join(places) or 'no matrix at all'}"
            )
        return chosen
    present = [place for place in automatic if place in places]
    # If none looks like counts, the message of check_counts names the first one.
    return next((place for place in present if places[place]), next(iter(present or places), None))
