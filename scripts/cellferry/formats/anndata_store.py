"""An AnnData object in a tree of groups and arrays, as HDF5 files and zarr stores hold it.

CSR, CSC or dense counts in X, raw or a layer. `root` is the group that holds obs and var.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from .frame import Frame
from .interface import Block, Cells, Header, Options
from .matrix import Array, Group, blocks_of_rows, glance, is_array, looks_like_counts, stored

AUTOMATIC = ("layers/counts", "raw", "X")
"""Where `counts: auto` looks, in this order."""

CELLS_AT_ONCE = 1 << 17


def header(root: Group, path: Path, options: Options, file_format: str) -> Header:
    """Read the header of an AnnData object; see `interface.Header`."""
    if "obs" not in root or "var" not in root:
        missing = "obs" if "obs" not in root else "var"
        raise InputError(
            f"{path}: has no {missing}, so it holds no AnnData object; correct {options.key('format')}"
        )
    elements = places_of(root)
    glances = {place: glance(element) for place, element in elements.items()}
    places = {place: looks_like_counts(values) for place, values in glances.items()}
    obs = Frame(root, "obs")
    counts = _choose(path, places, options)
    var = _names_and_strings(genes_of(root, counts))
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
        format=file_format,
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


def cells(obs: Frame, header: Header, columns: list[str]) -> Iterator[Cells]:
    """Names and annotation of the cells, a hundred thousand or so at a time."""
    for start in range(0, header.n_cells, CELLS_AT_ONCE):
        stop = min(header.n_cells, start + CELLS_AT_ONCE)
        yield Cells(obs.names(start, stop), {column: obs.values(column, start, stop) for column in columns})


def blocks(
    root: Group,
    obs: Frame,
    header: Header,
    columns: list[str],
    max_bytes: int,
    scratch: Path,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Block]:
    """Counts, names and annotation, in row blocks; see `formats.blocks`."""
    matrix = places_of(root)[header.counts]
    for counts in blocks_of_rows(matrix, max_bytes, scratch, header.path, start, stop):
        end = start + counts.shape[0]
        values = {column: obs.values(column, start, end) for column in columns}
        yield Block(counts, obs.names(start, end), values)
        start = end


def places_of(root: Group) -> dict[str, Group | Array]:
    """The matrices of an object by the names that the configuration uses."""
    places = {"X": root.get("X"), "raw": root.get("raw/X", root.get("raw.X"))}
    layers = root.get("layers", {})
    places |= {f"layers/{name}": layers[name] for name in layers}
    # An AnnData without X may leave a scalar in its place.
    return {
        place: element
        for place, element in places.items()
        if element is not None and (not is_array(element) or element.ndim in (1, 2))
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


def genes_of(root: Group, place: str | None) -> Frame:
    """The data frame of the genes that go with a place."""
    if place != "raw":
        return Frame(root, "var")
    return Frame(root, next(name for name in ("raw/var", "raw.var") if name in root))


def _names_and_strings(frame: Frame) -> pd.DataFrame:
    columns = {column: frame.values(column) for column in frame.columns if frame.is_string(column)}
    return pd.DataFrame(columns, index=pd.Index(frame.names(), dtype=object))
