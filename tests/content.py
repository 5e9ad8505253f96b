"""Content of files in a comparable form: files with equal content may differ in their bytes."""

import gzip
import hashlib
import json

import h5py
import numpy as np
import pandas as pd
from cellferry.core.digests import RECORDS, TIMESTAMP


def content(path):
    """A file's content: arrays of HDF5, a table of parquet, otherwise bytes without gzip's time."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "r") as file:
            found = {}
            file.visititems(lambda name, item: found.update({name: _digest(item)}))
            return found
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_csv()
    if path.parent.name == "inspected":  # times of writing are not content
        return {**json.loads(path.read_text()), "files": None}
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def contents(folder):
    """Content by name of all files in a folder, without marks and records, which contain times."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: content(path)
        for name, path in files.items()
        if path.name != TIMESTAMP and not name.startswith(RECORDS)
    }


def hidden(folder):
    """Remnants among the results: neither results nor their records."""
    return [path for path in folder.rglob(".*") if path.name not in (TIMESTAMP, RECORDS)]


def _digest(item):
    if isinstance(item, h5py.Group):
        return sorted(item)
    values = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
    text = repr(np.asarray(values).tolist())
    return item.dtype.str, item.shape, hashlib.sha256(text.encode()).hexdigest()
