"""Small files of every format with compressed matrices, with any arrays."""

import shutil

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import r_writer as r
import zarr
from scipy import sparse

N_CELLS, N_GENES = 40, 25
CELLS = [f"{'ACGT' * 4}{i}-1" for i in range(N_CELLS)]
GENES = [f"ENSG{i:011d}" for i in range(N_GENES)]
MAGIC = {"<u4": b"UINT32v1", "<u8": b"UINT64v1", "<f8": b"DOUBLEv1"}


def make_counts():
    """Cells × genes."""
    return np.random.default_rng(3).poisson(0.8, size=(N_CELLS, N_GENES)).astype(np.float64)


def arrays_of(matrix, changes):
    """Data, indices and indptr of a matrix, each changed by the function of its name."""
    arrays = {part: getattr(matrix, part).copy() for part in ("data", "indices", "indptr")}
    return {part: changes.get(part, lambda values: values)(values) for part, values in arrays.items()}


def _adata(storage):
    return ad.AnnData(
        storage(make_counts().astype(np.float32)),
        obs=pd.DataFrame({"batch": pd.Categorical(["a", "b"] * (N_CELLS // 2))}, index=CELLS),
        var=pd.DataFrame(index=GENES),
    )


def _h5ad(storage, folder, changes):
    path = folder / "a.h5ad"
    adata = _adata(storage)
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for part, values in arrays_of(adata.X, changes).items():
            del file[f"X/{part}"]
            file[f"X/{part}"] = values
    return path


def _zarr(storage, folder, changes):
    path = folder / "a.zarr"
    shutil.rmtree(path, ignore_errors=True)
    adata = _adata(storage)
    with ad.settings.override(zarr_write_format=3):
        adata.write_zarr(path)
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    for part, values in arrays_of(adata.X, changes).items():
        del root[f"X/{part}"]
        values = values.astype("U") if values.dtype.kind == "S" else values
        root["X"].create_array(part, data=values, config={"write_empty_chunks": True})
    zarr.consolidate_metadata(path)
    return path


def _tenx(folder, changes):
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array([N_GENES, N_CELLS])
        for part, values in arrays_of(sparse.csr_matrix(make_counts().astype(int)), changes).items():
            group[part] = values
        group["barcodes"] = np.array(CELLS, dtype="S")
        for key in ("id", "name"):
            group[f"features/{key}"] = np.array(GENES, dtype="S")
    return path


def _h5seurat(folder, changes):
    path = folder / "a.h5seurat"
    with h5py.File(path, "w") as file:
        file.attrs["active.assay"] = "RNA"
        file["cell.names"] = CELLS
        group = file.create_group("assays/RNA")
        group["features"] = GENES
        for part, values in arrays_of(sparse.csr_matrix(make_counts()), changes).items():
            group[f"counts/{part}"] = values
        group["counts"].attrs["dims"] = np.array([N_GENES, N_CELLS])
    return path


def _rds(folder, changes):
    path = folder / "a.rds"
    arrays = arrays_of(sparse.csr_matrix(make_counts()), changes)
    if any(values.ndim != 1 or values.dtype.kind not in "if" for values in arrays.values()):
        return None  # R has no such vectors
    slots = {
        "i": r.numbers(arrays["indices"]),
        "p": r.numbers(arrays["indptr"]),
        "Dim": r.numbers(np.array([N_GENES, N_CELLS], dtype=np.int32)),
        "Dimnames": r.a_list([r.strings(GENES), r.strings(CELLS)]),
        "x": r.numbers(arrays["data"]),
        "factors": r.a_list([]),
    }
    r.write_rds(path, r.s4("dgCMatrix", "Matrix", **slots))
    return path


def _bpcells(folder, changes):
    path = folder / "bpcells"
    path.mkdir(exist_ok=True)
    arrays = arrays_of(sparse.csr_matrix(make_counts()), changes)
    if any(values.ndim != 1 for values in arrays.values()) or any(
        arrays[part].dtype.kind != "i" for part in ("indptr", "indices")
    ):
        return None  # its files contain lists of integers
    names = {"idxptr": ("indptr", "<u8"), "index": ("indices", "<u4"), "val": ("data", "<f8")}
    for name, (part, dtype) in names.items():
        if arrays[part].dtype.kind not in "if":
            return None
        (path / name).write_bytes(MAGIC[dtype] + arrays[part].astype(dtype).tobytes())
    (path / "shape").write_bytes(MAGIC["<u4"] + np.array([N_GENES, N_CELLS], dtype="<u4").tobytes())
    for name, lines in {
        "version": ["unpacked-double-matrix-v2"],
        "storage_order": ["col"],
        "row_names": GENES,
        "col_names": CELLS,
    }.items():
        (path / name).write_text("\n".join(lines) + "\n")
    return path


FORMATS = {
    "h5ad CSR": lambda *given: _h5ad(sparse.csr_matrix, *given),
    "h5ad CSC": lambda *given: _h5ad(sparse.csc_matrix, *given),
    "zarr CSR": lambda *given: _zarr(sparse.csr_matrix, *given),
    "zarr CSC": lambda *given: _zarr(sparse.csc_matrix, *given),
    "10x h5": _tenx,
    "h5Seurat": _h5seurat,
    "rds": _rds,
    "BPCells": _bpcells,
}
"""Functions of a folder and changes of arrays that write a file of a format; None if impossible."""
