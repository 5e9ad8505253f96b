"""Verdict on a damaged file: refused in one sentence that names it, or read as by an independent reader.

Content that differs from the undamaged one is compared with an independent reader if possible: anndata for
h5ad, h5mu and zarr, scipy and h5py for 10x h5, loom, h5Seurat and mtx, pandas for parquet, Python alone for
tables. In R's, BPCells' and FCS files a changed value is a value.
"""

import signal
from contextlib import contextmanager

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.io
import zarr
from cellferry import formats
from cellferry.datasets.raw_counts import Source, check_counts
from cellferry.errors import InputError
from cellferry.formats import OutOfOrderError
from cellferry.formats.hdf5 import refuse_what_crashes
from reading import read_header
from scipy import sparse

SECONDS = 60
"""Time limit of a file, on a busy machine too."""


class Finding(Exception):  # noqa: N818
    """A file that is neither refused nor read correctly."""


@contextmanager
def limited(seconds=SECONDS):
    """Raise a `TimeoutError` after some time."""

    def stop(*_):
        raise TimeoutError(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def content(path, scratch):
    """Counts, names of cells and genes, and annotation as strings."""
    refuse_what_crashes(path)
    header = read_header(path)
    columns = list(header.obs_columns)
    try:
        blocks = list(formats.blocks(header, columns, 3000, scratch))
    except OutOfOrderError:
        header = header.replace(details=header.details | {"sorted": False})
        blocks = list(formats.blocks(header, columns, 3000, scratch))
    for block in blocks:
        check_counts(block.counts, block.names, header.var.index, Source.of(header))
    list(formats.cells(header, columns))
    counts = (
        sparse.vstack([block.counts for block in blocks]).toarray()
        if blocks
        else np.empty((0, header.n_genes))
    )
    names = [str(name) for block in blocks for name in block.names]
    obs = {
        column: [str(value) for block in blocks for value in block.obs[column].tolist()] for column in columns
    }
    return counts, names, list(map(str, header.var.index)), obs


def judge(path, original, scratch):
    """`refused` or `right`, for a damaged file with its undamaged content.

    Raises
    ------
    Finding
        If it is anything else.
    """
    try:
        with limited():
            found = content(path, scratch)
    except InputError as error:
        said = str(error)
        if path.name not in said or "\n" in said:
            raise Finding(f"does not name the file in one sentence: {said}") from error
        return "refused"
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {error}") from error
    if same(found, original):
        return "right"
    independent = READERS.get(path.suffix if path.is_file() or path.suffix else path.name)
    if independent is None:
        return "right"
    try:
        counts, names = independent(path)
    except Exception as error:
        raise Finding(f"was read, and another reader refuses it: {type(error).__name__}: {error}") from error
    if path.name == "mtx" and found[0].shape[1] < counts.shape[1]:
        return "right"  # features that are not genes any more
    if found[0].shape != counts.shape or not np.array_equal(found[0], counts.astype(np.float32)):
        raise Finding("holds other counts for another reader")
    if names is not None and found[1] != names:
        raise Finding("holds other names for another reader")
    return "right"


def same(found, original):
    return np.array_equal(found[0], original[0]) and found[1:] == original[1:]


def _dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def _of_anndata(root):
    element = ad.io.read_elem
    return _dense(element(root["X"])), list(map(str, element(root["obs"]).index))


def _h5ad(path):
    with h5py.File(path) as file:
        return _of_anndata(file)


def _h5mu(path):
    with h5py.File(path) as file:
        return _of_anndata(file["mod"][sorted(file["mod"])[-1]])  # the only one, or rna after prot


def _parquet(path):
    table = pd.read_parquet(path)
    # By the type of columns: a damaged name of an annotation column is a name.
    return table.select_dtypes("number").to_numpy(dtype=float), list(map(str, table["cell_id"]))


def _zarr(path):
    with zarr.config.set({"threading.max_workers": 1}):
        return _of_anndata(zarr.open_group(path, mode="r"))


def _compressed(group, shape):
    parts = tuple(group[name][()] for name in ("data", "indices", "indptr"))
    matrix = sparse.csr_matrix(parts, shape=shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()


def _tenx(path):
    with h5py.File(path) as file:
        names = [name.decode() for name in file["matrix/barcodes"][:].tolist()]
        return _compressed(file["matrix"], tuple(file["matrix/shape"][:][::-1])), names


def _h5seurat(path):
    with h5py.File(path) as file:
        names = [name.decode() for name in file["cell.names"][:].tolist()]
        n_genes = file["assays/RNA/features"].shape[0]
        return _compressed(file["assays/RNA/counts"], (len(names), n_genes)), names


def _loom(path):
    with h5py.File(path) as file:
        return file["matrix"][:].T, None


def _mtx(folder):
    return scipy.io.mmread(folder / "matrix.mtx").toarray().T, None


def _csv(path):
    lines = path.read_text(encoding="utf-8").replace("\r", "").split("\n")
    header, *rows = (line.split(",") for line in lines if line.strip(","))
    counts = np.array([[float(value) for value in row[1:]] for row in rows])
    return counts.reshape(len(rows), len(header) - 1), [row[0] for row in rows]


READERS = {
    ".h5ad": _h5ad,
    ".h5mu": _h5mu,
    ".parquet": _parquet,
    ".zarr": _zarr,
    ".h5": _tenx,
    ".h5seurat": _h5seurat,
    ".loom": _loom,
    ".csv": _csv,
    "mtx": _mtx,
}
