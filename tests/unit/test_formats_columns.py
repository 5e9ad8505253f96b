"""Columns of the wrong length, shape or kind are refused in all formats that have columns."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import r_writer as r
import zarr
from cellferry.errors import InputError
from r_cells import CELLS, GENES, make_counts
from reading import read_all, read_header
from test_formats_h5ad import N_CELLS, make_adata
from test_formats_h5mu import make_two, write_h5mu
from test_formats_h5seurat import write_h5seurat

LENGTHS = {
    "one too many": lambda values: np.insert(values, 0, values[1]),
    "one too few": lambda values: values[:-1],
    "two-dimensional": lambda values: np.stack([values, values], axis=1),
    "empty": lambda values: values[:0],
}
PARTS = {
    "ct": "obs/ct/codes",
    "nullable": ("obs/nullable/values", "obs/nullable/mask"),
    "nullable_flag": "obs/nullable_flag/mask",
    "text": "obs/text/codes",
    "float": "obs/float",
    "int": "obs/int",
    "flag": "obs/flag",
}


def replace(group, name, change):
    """Replace an array by a changed one, in HDF5 or zarr."""
    old = group[name]
    attributes, values = dict(old.attrs), change(old[()])
    del group[name]
    if isinstance(group, zarr.Group):
        group.create_array(name, data=values, config={"write_empty_chunks": True}).attrs.update(attributes)
    else:
        group.create_dataset(name, data=values).attrs.update(attributes)


def written(folder, kind):
    adata = make_adata()
    path = folder / f"a.{kind}"
    if kind == "h5ad":
        adata.write_h5ad(path)
        return path, h5py.File(path, "r+")
    with ad.settings.override(zarr_write_format=3):
        adata.write_zarr(path)
    return path, zarr.open_group(path, mode="r+", use_consolidated=False)


def changed(folder, kind, changes):
    path, group = written(folder, kind)
    for name, change in changes.items():
        replace(group, name, change)
    if kind == "h5ad":
        group.close()
    else:
        zarr.consolidate_metadata(path)
    return path


def refuse(path, columns, match):
    with pytest.raises(InputError, match=match) as error:
        read_all(read_header(path), path.parent / "scratch", columns=columns)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize("column", PARTS)
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_lengths(tmp_path, kind, column, what):
    names = PARTS[column]
    names = [names] if isinstance(names, str) else [names[0]]
    path = changed(tmp_path, kind, dict.fromkeys(names, LENGTHS[what]))
    refuse(path, [column], r"has values of shape \(.*\), not one for each of the 60 rows")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"obs/number/categories": lambda values: values[[0, 1, 1]]}, "has the category '2' more than once"),
        ({"obs/ct/codes": lambda codes: np.where(codes < 0, -7, codes)}, "has codes below -1"),
        (
            {"obs/ct/codes": lambda codes: codes.astype(float)},
            "float64 .*instead of a list of codes",
        ),
        ({"obs/ct/codes": lambda codes: codes.astype(float) + np.nan}, "instead of a list of codes"),
        ({"obs/ct/codes": lambda codes: codes.astype("u1")}, "has codes beyond its 4 categories"),
    ],
)
def test_categories(tmp_path, kind, changes, said):
    refuse(changed(tmp_path, kind, changes), ["ct", "number"], said)


def test_repeated_names_of_categories(tmp_path):
    path = changed(tmp_path, "h5ad", {"obs/ct/categories": lambda names: names[[0, 1, 2, 1]]})
    refuse(path, ["ct"], "ct has the category 'nan' more than once")


def test_old_categories(tmp_path):
    """Categories in `__categories`, as before version 0.8."""
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        codes, names = file["obs/ct/codes"][:], file["obs/ct/categories"][:]
        del file["obs/ct"]
        file["obs/__categories/ct"] = names
        file["obs/ct"] = np.append(codes, 0)
        file["obs/ct"].attrs["categories"] = file["obs/__categories/ct"].ref
    refuse(tmp_path / "a.h5ad", ["ct"], r"/obs/ct has values of shape \(61,\), not one for each of the 60")


def test_names_of_cells_and_genes(tmp_path):
    for name, said in (("obs/_index/values", "61 cells"), ("var/_index/values", "26 genes")):
        path = changed(tmp_path, "h5ad", {name: lambda names: np.append(names, b"x")})
        refuse(path, [], f"but obs and var name .*{said}|not one for each of the 26 rows")
        path.unlink()


def test_a_map_of_modalities_of_another_length(tmp_path):
    write_h5mu(tmp_path / "a.h5mu", make_two())
    with h5py.File(tmp_path / "a.h5mu", "r+") as file:
        replace(file, "obsmap/rna", lambda positions: np.append(positions, 1))
    with pytest.raises(InputError, match=r"a\.h5mu: .*/obsmap/rna has values of shape"):
        read_header(tmp_path / "a.h5mu")


@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize("column", ["ct/values", "text", "depth"])
def test_h5seurat(tmp_path, column, what):
    write_h5seurat(tmp_path / "a.h5seurat")
    with h5py.File(tmp_path / "a.h5seurat", "r+") as file:
        replace(file, f"meta.data/{column}", LENGTHS[what])
    refuse(tmp_path / "a.h5seurat", [column.partition("/")[0]], "has values of shape")


def test_levels_of_h5seurat(tmp_path):
    write_h5seurat(tmp_path / "a.h5seurat")
    with h5py.File(tmp_path / "a.h5seurat", "r+") as file:
        replace(file, "meta.data/ct/levels", lambda levels: levels[[0, 0]])
    refuse(tmp_path / "a.h5seurat", ["ct"], "has the category 'B-Zelle' more than once")


def test_levels_of_r(tmp_path):
    codes = np.arange(len(CELLS), dtype=np.int32) % 2 + 1
    table = r.frame({"ct": r.factor(codes, ["T", "T"])}, CELLS)
    counts = r.assay(counts=r.dgc(make_counts(), GENES, CELLS), data=r.dgc(make_counts(), GENES, CELLS))
    r.write_rds(tmp_path / "a.rds", r.seurat({"RNA": counts}, table, "RNA"))
    refuse(tmp_path / "a.rds", ["ct"], "a factor has the category 'T' more than once")


def test_valid_columns_are_read_as_anndata_reads_them(tmp_path):
    adata = make_adata()
    adata.obs["one"] = pd.Categorical(["x"] * N_CELLS)
    adata.write_h5ad(tmp_path / "a.h5ad")
    expected = ad.read_h5ad(tmp_path / "a.h5ad").obs
    _, _, obs, _ = read_all(read_header(tmp_path / "a.h5ad"), tmp_path / "s", columns=["ct", "one", "int"])
    for column, values in obs.items():
        assert [str(v) for v in values if v is not None] == [str(v) for v in expected[column].dropna()]
