"""AnnData object in a tree of groups and arrays, as in HDF5 files and zarr stores.

CSR, CSC or dense counts in X, raw or a layer. `root` is the group with obs and var.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import DamagedPartError, InputError
from .compressed import check_compressed
from .frame import Frame
from .interface import Header, Options, choose_place
from .matrix import (
    Array,
    Group,
    blocks_of_rows,
    glance,
    group_at,
    is_array,
    layers_of,
    looks_like_counts,
    stored,
    unwritten_warnings,
)
from .pieces import read_part

OBSM = "obsm/"
"""Prefix of the names of obsm's columns: `obsm/spatial/0` is the first column of an element."""

AXES = (2, 3)
"""Numbers of columns of possible coordinates."""

AUTOMATIC = ("layers/counts", "raw", "X")
"""Places that `counts: auto` tries, in this order."""


def header(root: Group, path: Path, options: Options, file_format: str) -> Header:
    """Read the header of an AnnData object; see `interface.Header`."""
    if "obs" not in root or "var" not in root:
        missing = "obs" if "obs" not in root else "var"
        raise InputError(
            f"{path}: has no {missing}, so it is not an AnnData object; correct {options.key('format')}"
        )
    elements = places_of(root)
    previews = {place: glance(element) for place, element in elements.items()}
    places = {place: looks_like_counts(values) for place, values in previews.items()}
    obs, obsm = Frame(root, "obs"), obsm_widths(root)
    counts = choose_place(path, places, options, AUTOMATIC)
    var = _names_and_strings(genes_of(root, counts))
    if counts is None:
        matrix = None
    else:
        matrix = stored(elements[counts])
        if matrix.shape != (len(obs), len(var)):
            raise InputError(
                f"{path}: {counts} is {matrix.shape[0]} × {matrix.shape[1]}, but obs and var name "
                f"{len(obs)} cells and {len(var)} genes; the file is damaged: export it again"
            )
    return Header(
        path=path,
        format=file_format,
        options=options,
        n_cells=len(obs),
        n_genes=len(var),
        nonzeros=matrix.nonzeros if matrix else 0,
        dtype=str(matrix.dtype) if matrix else "",
        storage=matrix.storage if matrix else "",
        places=places,
        counts=counts,
        var=var,
        obs_columns=obs.columns,
        obsm=obsm,
        preview=previews.get(counts, np.empty(0)),
        warnings=[
            warning
            for element in (
                *([elements[counts]] if matrix and matrix.storage == "dense" else []),
                *(root["obsm"][name] for name, width in obsm.items() if width in AXES),
            )
            for warning in unwritten_warnings(element)
        ],
    )


class CellFrame(Frame):
    """obs, together with the columns of obsm, named like `obsm/spatial/0`."""

    def __init__(self, root: Group) -> None:
        super().__init__(root, "obs")

    def values(self, column: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values of a column of obs or obsm in rows `start` to `stop`; see `Frame.values`."""
        if not column.startswith(OBSM) or column in self.columns:
            return super().values(column, start, stop)
        name, _, number = column.removeprefix(OBSM).rpartition("/")
        element = self._root["obsm"][name]
        if element.shape[0] != len(self):
            raise DamagedPartError(f"obsm/{name} has {element.shape[0]} rows, but obs has {len(self)}")
        return read_part(element, slice(start, stop))[:, int(number)]


def obsm_widths(root: Group) -> dict[str, int]:
    """Number of columns of each numeric array in obsm, by name."""
    obsm = root.get("obsm")
    elements = {} if obsm is None or is_array(obsm) else {str(name): obsm[name] for name in obsm}
    return {
        name: int(element.shape[1])
        for name, element in elements.items()
        if is_array(element) and element.ndim == 2 and element.dtype.kind in "iuf"
    }


def check(root: Group, header: Header) -> None:
    """Raise an `InputError` if the selected counts are sparse and their arrays are inconsistent."""
    if header.counts is not None and header.storage != "dense":
        check_compressed(
            places_of(root)[header.counts], header.storage, (header.n_cells, header.n_genes), header.path
        )


def counts_of(
    root: Group, header: Header, max_bytes: int, scratch: Path, start: int, stop: int | None
) -> Iterator[sparse.csr_matrix]:
    """Row blocks of the selected counts; see `formats.blocks`."""
    return blocks_of_rows(places_of(root)[header.counts], max_bytes, scratch, header.path, start, stop)


def places_of(root: Group) -> dict[str, Group | Array]:
    """The object's matrices, by the names used in the configuration."""
    places = {"X": root.get("X"), "raw": root.get("raw/X", root.get("raw.X"))}
    if "layers" in root:
        places |= layers_of(group_at(root, "layers"))
    # In an AnnData without X a scalar may take its place.
    return {
        place: element
        for place, element in places.items()
        if element is not None and (not is_array(element) or element.ndim in (1, 2))
    }


def genes_of(root: Group, place: str | None) -> Frame:
    """The data frame of the genes of a matrix."""
    if place != "raw":
        return Frame(root, "var")
    return Frame(root, next(name for name in ("raw/var", "raw.var") if name in root))


def _names_and_strings(frame: Frame) -> pd.DataFrame:
    columns = {column: frame.values(column) for column in frame.columns if frame.is_string(column)}
    return pd.DataFrame(columns, index=pd.Index(frame.names(), dtype=object))
