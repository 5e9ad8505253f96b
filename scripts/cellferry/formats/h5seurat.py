"""SeuratDisk's h5Seurat files: one slot of one assay.

A sparse slot is R's dgCMatrix of features × cells, which is cells × features in CSR. A dense slot is written
column by column, so that it is cells × features in HDF5.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..errors import InputError
from .annotation import annotated_blocks, annotated_cells
from .compressed import check_compressed
from .hdf5 import open_hdf5
from .hdf5_parts import check_written
from .interface import Block, Cells, FileSignature, Header, Options, as_strings, choose_place
from .matrix import (
    array_at,
    csr_rows,
    dense_rows,
    glance,
    group_at,
    is_array,
    looks_like_counts,
    text_attribute,
    texts_attribute,
)
from .pieces import read_part
from .values import check_levels, check_rows, decoded

SLOTS = ("counts", "data")
RNA = "RNA"
"""The assay with the raw counts, used even if another one is active."""

MISSING_LOGICAL = 2
MISSING_STRING = "NA"
"""R's missing values as written in the file; a string `NA` looks the same."""


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is an h5Seurat file."""
    return signature.groups is not None and {"assays", "cell.names"} <= signature.groups.keys()


def header(path: Path, options: Options) -> Header:
    """Read the header of an h5Seurat file; see `interface.Header`."""
    with open_hdf5(path, options) as file:
        group_at(file, "assays")
        name = _choose_assay(path, file, options)
        assay = group_at(file["assays"], name)
        slots = _slots(assay)
        if options.counts == "auto" and "counts" not in slots:
            raise InputError(
                f"{path}: the counts slot of assay {name} is empty; the file contains {_listed(file)}: set "
                f"{options.key('assay')} to an assay with counts, or save the object with its raw counts"
            )
        previews = {slot: glance(_values(slots[slot])) for slot in slots}
        places = {slot: looks_like_counts(values) for slot, values in previews.items()}
        place = choose_place(path, places, options, ("counts",))
        n_features, n_cells = array_at(assay, "features").shape[0], array_at(file, "cell.names").shape[0]
        check_rows(assay["features"], n_features)
        check_rows(file["cell.names"], n_cells)
        features = as_strings(read_part(assay["features"]))
        shape = _shape(slots[place], len(features))
        if shape != (n_cells, len(features)):
            raise InputError(
                f"{path}: {place} of assay {name} is {shape[0]} cells × {shape[1]} features, but {n_cells} "
                f"cells and {len(features)} features are named; the file is damaged: save it again"
            )
        if not is_array(slots[place]):
            check_compressed(slots[place], "csr", shape, path)
        others = [other for other in file["assays"] if other != name]
        values = _values(slots[place])
        return Header(
            path=path,
            format="h5seurat",
            options=options,
            n_cells=n_cells,
            n_genes=len(features),
            nonzeros=None if is_array(slots[place]) else int(values.shape[0]),
            dtype=str(values.dtype),
            storage="dense" if is_array(slots[place]) else "csr",
            places=places,
            counts=place,
            var=_var(assay, features),
            obs_columns=_obs(file).columns,
            preview=previews[place],
            remarks=[f"assay {name} is read, {', '.join(others)} left out"] if others else [],
            details={"assay": name},
        )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    with open_hdf5(header.path, header.options) as file:
        yield from annotated_cells(_obs(file), header.n_cells, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    with open_hdf5(header.path, header.options) as file:
        slot = file["assays"][header.details["assay"]][header.counts]
        if is_array(slot):
            rows = dense_rows(slot, max_bytes, start, stop)
        else:
            rows = csr_rows(slot, (header.n_cells, header.n_genes), max_bytes, header.path, start, stop)
        yield from annotated_blocks(rows, _obs(file), columns, start)


class RFrame:
    """An R data frame: a compound dataset, or a group of columns (factors: levels and values).

    Parameters
    ----------
    frame
        The group or dataset; None for a frame without columns.
    names
        Dataset of the row names, which h5Seurat stores elsewhere.
    more
        Further columns by name, in the same form as in the group.

    Attributes
    ----------
    columns
        Names of the columns.
    """

    def __init__(
        self,
        frame: h5py.Group | h5py.Dataset | None,
        names: h5py.Dataset,
        more: dict[str, h5py.Group | h5py.Dataset],
    ) -> None:
        self._names = names
        self._logicals: set[str] = set()
        self._columns: dict[str, h5py.Group | h5py.Dataset | tuple[h5py.Dataset, str]] = {}
        if frame is not None:
            self._logicals = set(texts_attribute(frame, "logicals") or [])
            if is_array(frame):
                self._columns = {column: (frame, column) for column in frame.dtype.names or ()}
            else:
                listed = texts_attribute(frame, "colnames") or []
                order = [column for column in listed if column in frame]
                order += [column for column in frame if column not in (*listed, "_index", "row.names")]
                self._columns = {column: frame[column] for column in order}
        self._columns |= more
        self.columns = list(self._columns)

    def names(self, start: int, stop: int) -> np.ndarray:
        """Names in rows `start` to `stop`, as an object array of str."""
        return as_strings(read_part(self._names, slice(start, stop)))

    def is_string(self, column: str) -> bool:
        """True if a column is a factor or contains strings."""
        item = self._columns[column]
        if isinstance(item, tuple):
            return item[0].dtype[column].kind in "SO"
        return not is_array(item) or item.dtype.kind in "SO"

    def values(self, column: str, start: int, stop: int) -> np.ndarray:
        """Values in rows `start` to `stop`; see `interface.Cells`."""
        item, n_rows = self._columns[column], self._names.shape[0]
        if isinstance(item, tuple):
            check_rows(item[0], n_rows)
            values = read_part(item[0], slice(start, stop), column)
        elif not is_array(item):
            return _factor(item, n_rows, start, stop)
        else:
            check_rows(item, n_rows)
            values = read_part(item, slice(start, stop))
        if values.dtype.kind in "SO":
            strings = as_strings(values)
            strings[strings == MISSING_STRING] = None
            return strings
        if column in self._logicals or (is_array(item) and text_attribute(item, "s3class") == "logical"):
            names = np.array(["False", "True", None], dtype=object)
            return names[np.where((values == 0) | (values == 1), values, MISSING_LOGICAL)]
        return decoded(values)


def _factor(group: h5py.Group, n_rows: int, start: int, stop: int) -> np.ndarray:
    """Levels of a factor's values, which count from 1; None for R's missing integer."""
    check_rows(group["values"], n_rows, kinds="iu")
    check_written(group["levels"])
    levels = as_strings(read_part(group["levels"]))
    check_levels(levels, group.name)
    levels = np.append(levels, None)
    values = read_part(group["values"], slice(start, stop)).astype(np.int64)
    if np.any(values >= len(levels)):
        raise OSError(f"{group.name} has values beyond its {len(levels) - 1} levels")
    return levels[np.where(values < 1, len(levels), values) - 1]


def _obs(file: h5py.File) -> RFrame:
    more = {"active.ident": file["active.ident"]} if "active.ident" in file else {}
    return RFrame(file.get("meta.data"), file["cell.names"], more)


def _var(assay: h5py.Group, features: np.ndarray) -> pd.DataFrame:
    frame = RFrame(assay.get("meta.features"), assay["features"], {})
    columns = {name: frame.values(name, 0, len(features)) for name in frame.columns if frame.is_string(name)}
    return pd.DataFrame(columns, index=pd.Index(features, dtype=object))


def _slots(assay: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
    """The slots of an assay that contain values."""
    slots = {slot: assay[slot] for slot in SLOTS if slot in assay}
    return {slot: item for slot, item in slots.items() if _values(item).size}


def _values(slot: h5py.Group | h5py.Dataset) -> h5py.Dataset:
    return slot if is_array(slot) else array_at(slot, "data")


def _shape(slot: h5py.Group | h5py.Dataset, n_features: int) -> tuple[int, int]:
    """Cells and features of a slot; a sparse slot may omit the number of features."""
    if is_array(slot):
        return slot.shape
    return slot["indptr"].shape[0] - 1, int(slot.attrs.get("dims", (n_features,))[0])


def _choose_assay(path: Path, file: h5py.File, options: Options) -> str:
    """The configured assay, else RNA, else the active one."""
    assays = file["assays"]
    if options.assay is not None:
        if options.assay not in assays:
            raise InputError(
                f"{path}: {options.key('assay')} is '{options.assay}', but the file contains "
                f"{_listed(file)}; set it to one of these assays"
            )
        return options.assay
    active = text_attribute(file, "active.assay") or ""
    chosen = RNA if RNA in assays else active
    if chosen not in assays:
        raise InputError(
            f"{path}: has no assay {RNA}, and its active assay '{active}' is missing; it contains "
            f"{_listed(file)}: set {options.key('assay')} to one of these assays"
        )
    return chosen


def _listed(file: h5py.File) -> str:
    """The assays with their slots, for messages."""
    assays = file["assays"]
    described = [f"{name} ({', '.join(_slots(assays[name])) or 'no counts, no data'})" for name in assays]
    return ", ".join(described) or "no assays"
