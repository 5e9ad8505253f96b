"""Elements of AnnData on disk, without anndata, whose import takes longer than most jobs.

Written as anndata 0.13 writes them (https://anndata.readthedocs.io/en/stable/fileformat-prose.html).
"""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import pandas as pd

STRING = h5py.string_dtype()

ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}
STRING_ARRAY = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
NULLABLE_STRINGS = {"encoding-type": "nullable-string-array", "encoding-version": "0.1.0", "na-value": "NaN"}
FRAME = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"}
DICT = {"encoding-type": "dict", "encoding-version": "0.1.0"}
NUMBER = {"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"}
TEXT = {"encoding-type": "string", "encoding-version": "0.2.0"}

ROWS_PER_CHUNK = 8192


def write_element(group: h5py.Group, name: str, value: Any) -> None:
    """Write a dict, a text, a number, or a list or array of one of these, below a group.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(value, dict):
        inner = group.create_group(name)
        inner.attrs.update(DICT)
        for key, each in value.items():
            write_element(inner, key, each)
        return
    array = np.asarray(value)
    if array.dtype.kind in "OU":
        if not all(isinstance(each, str) for each in array.flat):
            raise TypeError(f"{name}: {value!r} is not text")
        element = group.create_dataset(name, data=array.astype(object), dtype=STRING)
        element.attrs.update(STRING_ARRAY if array.ndim else TEXT)
    elif array.dtype.kind in "biuf":
        group.create_dataset(name, data=array).attrs.update(ARRAY if array.ndim else NUMBER)
    else:
        raise TypeError(f"{name}: {value!r} is neither text nor a number")


def write_frame(group: h5py.Group, name: str, frame: pd.DataFrame) -> None:
    """Write a table whose columns hold text, which may be missing, or numbers."""
    inner = group.create_group(name)
    inner.attrs.update(FRAME)
    inner.attrs["column-order"] = np.array([str(column) for column in frame], dtype=STRING)
    write_element(inner, "_index", np.array([str(each) for each in frame.index], dtype=object))
    for column, values in frame.items():
        missing = values.isna().to_numpy()
        array = values.to_numpy()
        if array.dtype.kind in "biuf":
            write_element(inner, str(column), array)
            continue
        texts = values.astype(object).where(~missing, "").to_numpy(dtype=object)
        if not missing.any():
            write_element(inner, str(column), texts)
            continue
        nullable = inner.create_group(str(column))
        nullable.attrs.update(NULLABLE_STRINGS)
        write_element(nullable, "values", texts)
        write_element(nullable, "mask", missing)


def read_frame(group: h5py.Group) -> pd.DataFrame:
    """Read a table of `write_frame`, or of anndata, whose index may have another name."""
    columns = {str(column): _column(group[column]) for column in group.attrs["column-order"]}
    return pd.DataFrame(columns, index=pd.Index(_column(group[group.attrs["_index"]])))


def _column(element: h5py.Dataset | h5py.Group) -> np.ndarray:
    if isinstance(element, h5py.Group):
        return np.where(element["mask"][:], None, _column(element["values"]))
    return (element.asstr() if h5py.check_string_dtype(element.dtype) else element)[:]


def write_dense(
    group: h5py.Group,
    widths: dict[str, int],
    blocks: Iterator[dict[str, np.ndarray]],
    *,
    n_rows: int,
    dtype: type,
) -> None:
    """Write dense arrays of `n_rows` rows, block by block; see `H5adWriter.write_obsm`."""
    arrays = {}
    for key, width in widths.items():
        chunk = (min(max(n_rows, 1), ROWS_PER_CHUNK), width)
        arrays[key] = group.create_dataset(key, shape=(n_rows, width), dtype=dtype, chunks=chunk)
        arrays[key].attrs.update(ARRAY)
    start = 0
    for block in blocks:
        stop = start + len(next(iter(block.values())))
        for key, rows in block.items():
            arrays[key][start:stop] = rows
        start = stop
