"""MuData's h5mu files: one of their modalities, an AnnData object in `mod/NAME`.

Cells and their annotation are those of the modality. Columns of the whole object's obs are added if the
modality has no column of that name. `obsmap/NAME` maps each cell of the whole object to the modality's cells
(from 1 on, 0 for a missing cell). Without this map, cells are matched by name.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from ..errors import InputError
from . import anndata_store
from .annotation import CELLS_AT_ONCE, annotated_blocks, annotated_cells
from .cell_names import hashes
from .features import GENE_EXPRESSION
from .frame import Frame
from .hdf5 import open_hdf5
from .interface import Block, Cells, FileSignature, Header, Options
from .matrix import group_at
from .pieces import read_part
from .values import check_rows

NAMES_OF_RNA = ("rna", "gex")


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is an h5mu file."""
    return signature.groups is not None and {"mod", "obs"} <= signature.groups.keys()


def header(path: Path, options: Options) -> Header:
    """Read the header of a modality; see `interface.Header`."""
    with open_hdf5(path, options) as file:
        if "mod" not in file:
            raise InputError(
                f"{path}: has no mod, so it is not an h5mu file; correct {options.key('format')}"
            )
        group_at(file, "mod")
        modality = _choose(path, file, options)
        group_at(file["mod"], modality)
        found = anndata_store.header(file["mod"][modality], path, options, "h5mu")
        anndata_store.check(file["mod"][modality], found)
        others = [name for name in file["mod"] if name != modality]
        remarks = [f"modality {modality} is read, {', '.join(others)} left out"] if others else []
        obs = _obs(file, modality)
        if isinstance(obs, Frame) and "obs" in file and Frame(file, "obs").columns:
            remarks.append(
                f"columns of the whole object's obs are left out: its cells are not those of {modality}, "
                "or in another order"
            )
        return found.replace(obs_columns=obs.columns, remarks=remarks, details={"modality": modality})


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield names and annotation of the cells, about a hundred thousand at a time."""
    with open_hdf5(header.path, header.options) as file:
        obs = _obs(file, header.details["modality"])
        yield from annotated_cells(obs, header.n_cells, columns)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield counts, names and annotation in row blocks; see `formats.blocks`."""
    with open_hdf5(header.path, header.options) as file:
        modality = header.details["modality"]
        rows = anndata_store.counts_of(file["mod"][modality], header, max_bytes, scratch, start, stop)
        yield from annotated_blocks(rows, _obs(file, modality), columns, start)


class JoinedFrame:
    """A modality's obs, extended by columns of the whole object's obs that it lacks.

    Parameters
    ----------
    own, whole
        Frames of the modality and of the whole object.
    rows
        Increasing rows of the modality's cells in the whole object.

    Attributes
    ----------
    columns
        Names of the columns, the modality's first.
    """

    def __init__(self, own: Frame, whole: Frame, rows: np.ndarray) -> None:
        self._own, self._whole, self._rows = own, whole, rows
        self.columns = own.columns + [column for column in whole.columns if column not in own.columns]

    def names(self, start: int, stop: int) -> np.ndarray:
        """See `Frame.names`."""
        return self._own.names(start, stop)

    def values(self, column: str, start: int, stop: int) -> np.ndarray:
        """See `Frame.values`."""
        if column in self._own.columns or column.startswith(anndata_store.OBSM):
            return self._own.values(column, start, stop)
        rows = self._rows[start:stop].astype(np.int64)
        first, last = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
        return self._whole.values(column, int(first), int(last))[rows - first]


def _obs(file: h5py.File, modality: str) -> Frame | JoinedFrame:
    of_modality = anndata_store.CellFrame(file["mod"][modality])
    if "obs" not in file:
        return of_modality
    whole = Frame(file, "obs")
    if not whole.columns:
        return of_modality
    # Another order would require reading back and forth.
    if f"obsmap/{modality}" in file:
        mapped = file[f"obsmap/{modality}"]
        check_rows(mapped, len(whole))
        positions = read_part(mapped).ravel()
        rows = np.flatnonzero(positions)
        is_in_order = np.array_equal(positions[rows], np.arange(1, len(of_modality) + 1))
    else:  # R's MuDataSeurat writes no map
        names, own_names = _hashes(whole), _hashes(of_modality)
        rows = np.flatnonzero(np.isin(names, own_names))
        is_in_order = np.array_equal(names[rows], own_names)
    return JoinedFrame(of_modality, whole, rows.astype(np.uint32)) if is_in_order else of_modality


def _hashes(frame: Frame) -> np.ndarray:
    """Hashes of all names of a frame."""
    parts = [
        hashes(frame.names(start, min(start + CELLS_AT_ONCE, len(frame))))
        for start in range(0, len(frame), CELLS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def _choose(path: Path, file: h5py.File, options: Options) -> str:
    """The configured modality, or the one with RNA."""
    modalities = list(file["mod"])
    if options.assay is not None:
        if options.assay not in modalities:
            raise InputError(
                f"{path}: {options.key('assay')} is '{options.assay}', but the modalities are "
                f"{', '.join(modalities)}; set it to one of them"
            )
        return options.assay
    if len(modalities) == 1:
        return modalities[0]
    called_rna = [name for name in modalities if name.lower() in NAMES_OF_RNA]
    candidates = called_rna or [name for name in modalities if _holds_genes(file["mod"][name])]
    if len(candidates) != 1:
        raise InputError(
            f"{path}: it is unclear which of the modalities {', '.join(modalities)} contains the RNA; set "
            f"{options.key('assay')} to one of them"
        )
    return candidates[0]


def _holds_genes(modality: h5py.Group) -> bool:
    var = Frame(modality, "var")
    return "feature_types" in var.columns and set(var.values("feature_types")) == {GENE_EXPRESSION}
