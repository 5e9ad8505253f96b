"""AnnData's h5ad files, on-disk versions 0.5 to today: CSR, CSC or dense counts in X, raw or a layer."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..errors import InputError
from .frame import Frame
from .interface import Block, Cells, Header, Looks, Options
from .matrix import blocks_of_rows, glance, looks_like_counts, stored

AUTOMATIC = ("layers/counts", "raw", "X")
"""Where `counts: auto` looks, in this order."""

CELLS_AT_ONCE = 1 << 17


def recognises(path: Path, looks: Looks) -> bool:
    """Whether a file is an h5ad file."""
    return looks.groups is not None and {"obs", "var"} <= looks.groups.keys()


def header(path: Path, options: Options) -> Header:
    """Read the header of an h5ad file; see `interface.Header`."""
    with h5py.File(path, "r", locking=False) as file:
        if "obs" not in file or "var" not in file:
            missing = "obs" if "obs" not in file else "var"
            raise InputError(
                f"{path}: has no {missing}, so it is not an h5ad file; set {options.key('format')}"
            )
        elements = _places(file)
        glances = {place: glance(element) for place, element in elements.items()}
        places = {place: looks_like_counts(values) for place, values in glances.items()}
        obs = Frame(file, "obs")
        counts = _choose(path, places, options)
        var = _var(file, "raw" if counts == "raw" else "X")
        if counts is None:
            found = None
        else:
            found = stored(elements[counts])
            if found.shape != (len(obs), len(var)):
                raise InputError(
                    f"{path}: {counts} is {found.shape[0]} × {found.shape[1]}, but obs and var name "
                    f"{len(obs)} cells and {len(var)} genes; the file is damaged: export it again"
                )
        return Header(
            path=path,
            format="h5ad",
            options=options,
            n_cells=len(obs),
            n_genes=len(var),
            nonzeros=found.nonzeros if found else 0,
            dtype=str(found.dtype) if found else "",
            storage=found.storage if found else "",
            places=places,
            counts=counts,
            var=var,
            obs_columns=obs.columns,
            glanced=glances.get(counts, np.empty(0)),
        )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Names and annotation of the cells, a hundred thousand or so at a time."""
    with h5py.File(header.path, "r", locking=False) as file:
        obs = Frame(file, "obs")
        for start in range(0, header.n_cells, CELLS_AT_ONCE):
            stop = min(header.n_cells, start + CELLS_AT_ONCE)
            yield Cells(
                obs.names(start, stop), {column: obs.values(column, start, stop) for column in columns}
            )


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Counts, names and annotation, in row blocks; see `formats.blocks`."""
    with h5py.File(header.path, "r", locking=False) as file:
        obs, matrix = Frame(file, "obs"), _places(file)[header.counts]
        for counts in blocks_of_rows(matrix, max_bytes, scratch, header.path, start, stop):
            end = start + counts.shape[0]
            values = {column: obs.values(column, start, end) for column in columns}
            yield Block(counts, obs.names(start, end), values)
            start = end


def _places(file: h5py.File) -> dict[str, h5py.Group | h5py.Dataset]:
    """The matrices of a file by the names that the configuration uses."""
    places = {"X": file.get("X"), "raw": file.get("raw/X", file.get("raw.X"))}
    places |= {f"layers/{name}": layer for name, layer in file.get("layers", {}).items()}
    # An AnnData without X may leave a scalar in its place.
    return {
        place: element
        for place, element in places.items()
        if isinstance(element, h5py.Group) or (element is not None and element.ndim in (1, 2))
    }


def _choose(path: Path, places: dict[str, bool], options: Options) -> str | None:
    if options.counts != "auto":
        if options.counts not in places:
            raise InputError(
                f"{path}: {options.key('counts')} is '{options.counts}', which the file does not have; "
                f"it has: {', '.join(places) or 'no matrix at all'}"
            )
        return options.counts
    present = [place for place in AUTOMATIC if place in places]
    # Where none looks like counts, the first one is named in the message that check_counts gives.
    return next((place for place in present if places[place]), next(iter(present or places), None))


def _var(file: h5py.File, place: str) -> pd.DataFrame:
    """Names and string columns of the genes that go with `X` or `raw`."""
    element = "var" if place == "X" else next(name for name in ("raw/var", "raw.var") if name in file)
    frame = Frame(file, element)
    columns = {column: frame.values(column) for column in frame.columns if frame.is_string(column)}
    return pd.DataFrame(columns, index=pd.Index(frame.names(), dtype=object))
