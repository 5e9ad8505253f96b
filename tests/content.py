"""What files hold, in a form to compare: two files may differ in how they were written and hold the same."""

import gzip
import hashlib
import json

import h5py
import numpy as np
import pandas as pd
from cellferry.core.digests import RECORDS, TIMESTAMP


def content(path):
    """A file's content: arrays of HDF5, a table of parquet, bytes without gzip's time of all others."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "r") as file:
            found = {}
            file.visititems(lambda name, item: found.update({name: _digest(item)}))
            return found
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_csv()
    if path.parent.name == "inspected":  # when files were written is not their content
        return {**json.loads(path.read_text()), "files": None}
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def contents(folder):
    """Content by name of all files in a folder, but for marks and records, which hold times."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: content(path)
        for name, path in files.items()
        if path.name != TIMESTAMP and not name.startswith(RECORDS)
    }


def hidden(folder):
    """What else lies among the results than what users see and the records of it: remnants."""
    return [path for path in folder.rglob(".*") if path.name not in (TIMESTAMP, RECORDS)]


def _digest(item):
    if isinstance(item, h5py.Group):
        return sorted(item)
    values = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
    text = repr(np.asarray(values).tolist())
    return item.dtype.str, item.shape, hashlib.sha256(text.encode()).hexdigest()
