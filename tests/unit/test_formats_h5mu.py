"""h5mu files: the selected modality, its columns and those of the whole object."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse

N_CELLS = 30


def make_modality(cells, n_features, seed, types=None):
    counts = sparse.csr_matrix(
        np.random.default_rng(seed).poisson(0.8, (len(cells), n_features)), dtype=np.float32
    )
    obs = pd.DataFrame({"depth": np.arange(len(cells)) * 1.5, "both": f"own{seed}"}, index=cells)
    var = pd.DataFrame(index=[f"m{seed}_{i}" for i in range(n_features)])
    if types is not None:
        var["feature_types"] = types
    return ad.AnnData(counts, obs=obs, var=var)


def write_h5mu(path, modalities, *, order=None, with_map=True):
    """Write MuData like its package; the whole object has the cells of all modalities, sorted."""
    cells = sorted({cell for modality in modalities.values() for cell in modality.obs_names})
    cells = cells if order is None else [cells[i] for i in order]
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical([f"d{int(cell[1:]) % 3}" for cell in cells]),
            "number": [int(cell[1:]) for cell in cells],
            "both": "whole",
        },
        index=cells,
    )
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "MuData"
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=["x"]))
        for name, modality in modalities.items():
            write_elem(file.require_group("mod"), name, modality)
            if with_map:
                place = {cell: i + 1 for i, cell in enumerate(modality.obs_names)}
                file[f"obsmap/{name}"] = np.array([place.get(cell, 0) for cell in cells], dtype=np.uint32)
    return path


def make_two(names=("prot", "rna"), **kwargs):
    cells = [f"c{i:02d}" for i in range(N_CELLS)]
    return {
        names[0]: make_modality(cells, 5, 1, **kwargs.get("first", {})),
        names[1]: make_modality(cells[5:25], 12, 2, **kwargs.get("second", {})),
    }


def test_rna_is_chosen(tmp_path):
    modalities = make_two()
    header = read_header(write_h5mu(tmp_path / "a.h5mu", modalities))
    assert (header.format, header.counts, header.storage) == ("h5mu", "X", "csr")
    assert header.remarks == ["modality rna is read, prot left out"]
    counts, names, _, _ = read_all(header, tmp_path, 500)
    assert np.array_equal(counts, modalities["rna"].X.toarray())
    assert list(names) == list(modalities["rna"].obs_names)
    assert list(header.var.index) == list(modalities["rna"].var_names)


def test_columns_of_the_whole_are_added(tmp_path):
    header = read_header(write_h5mu(tmp_path / "a.h5mu", make_two()))
    assert header.obs_columns == ["depth", "both", "donor", "number"]
    _, names, obs, _ = read_all(header, tmp_path, 500, header.obs_columns)
    assert list(obs["number"]) == [int(name[1:]) for name in names]
    assert list(obs["donor"]) == [f"d{int(name[1:]) % 3}" for name in names]
    assert set(obs["both"]) == {"own2"}
    assert list(obs["depth"]) == [1.5 * i for i in range(20)]


@pytest.mark.parametrize("with_map", [True, False])
def test_columns_of_the_whole_in_another_order(tmp_path, with_map):
    order = np.random.default_rng(0).permutation(N_CELLS)
    header = read_header(write_h5mu(tmp_path / "a.h5mu", make_two(), order=order, with_map=with_map))
    assert header.obs_columns == ["depth", "both"]
    assert header.remarks[1].startswith("columns of the whole object's obs are left out")
    read_all(header, tmp_path, 500, header.obs_columns)


def test_columns_of_the_whole_without_a_map(tmp_path):
    """As R's MuDataSeurat writes it: cells are matched by name."""
    header = read_header(write_h5mu(tmp_path / "a.h5mu", make_two(), with_map=False))
    assert header.obs_columns == ["depth", "both", "donor", "number"]
    _, names, obs, _ = read_all(header, tmp_path, 500, header.obs_columns)
    assert list(obs["number"]) == [int(name[1:]) for name in names]


def test_named_modality(tmp_path):
    path = write_h5mu(tmp_path / "a.h5mu", make_two())
    header = read_header(path, assay="prot")
    assert (header.n_cells, header.n_genes) == (N_CELLS, 5)
    with pytest.raises(
        InputError, match=r"datasets\.blood\.assay is 'RNA', but the modalities are prot, rna"
    ):
        read_header(path, assay="RNA")


def test_modality_is_told_by_its_features(tmp_path):
    modalities = make_two(
        ("a", "b"), first={"types": "Antibody Capture"}, second={"types": "Gene Expression"}
    )
    header = read_header(write_h5mu(tmp_path / "a.h5mu", modalities))
    assert header.details["modality"] == "b"
    path = write_h5mu(tmp_path / "b.h5mu", make_two(("a", "b")))
    with pytest.raises(
        InputError, match=r"which of the modalities a, b contains the RNA; set datasets\.blood\.assay"
    ):
        read_header(path)


def test_a_single_modality(tmp_path):
    header = read_header(write_h5mu(tmp_path / "a.h5mu", {"x": make_two()["rna"]}))
    assert (header.n_genes, header.remarks) == (12, [])


def test_layers_of_a_modality(tmp_path):
    modalities = make_two()
    modalities["rna"].layers["counts"] = modalities["rna"].X.tocsc()
    modalities["rna"].X = np.log1p(modalities["rna"].X.toarray())
    path = write_h5mu(tmp_path / "a.h5mu", modalities)
    header = read_header(path)
    assert (header.counts, header.places) == ("layers/counts", {"X": False, "layers/counts": True})
    assert np.array_equal(read_all(header, tmp_path, 500)[0], modalities["rna"].layers["counts"].toarray())


def test_truncated_file(tmp_path):
    path = write_h5mu(tmp_path / "a.h5mu", make_two())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"a\.h5mu: .*(copy|download)"):
        read_header(path)


def test_modality_that_is_cut_short(tmp_path):
    path = write_h5mu(tmp_path / "a.h5mu", make_two())
    with h5py.File(path, "r+") as file:
        del file["mod/rna/X/indices"]
    with pytest.raises(InputError, match=r"a\.h5mu: lacks a part that its format requires"):
        list(formats.blocks(read_header(path), [], 1000, tmp_path))


def test_no_modalities(tmp_path):
    make_two()["rna"].write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        InputError, match=r"has no mod, so it is not an h5mu file; correct datasets\.blood\.format"
    ):
        read_header(tmp_path / "a.h5ad", "h5mu")


@pytest.mark.filterwarnings("ignore")
def test_real_file(test_data, tmp_path):
    path = test_data / "formats/citeseq_AML_SCUBA/AML_mudata.h5mu"
    header = read_header(path)
    assert header.remarks == ["modality RNA is read, AB left out"]
    counts, names, obs, _ = read_all(header, tmp_path, 20_000, ["condensed_cell_type"])
    adata = ad.read_h5ad(path.with_name("AML_h5ad.h5ad"))
    with h5py.File(path) as file:
        modality = ad.io.read_elem(file["mod/RNA"])
    assert np.array_equal(counts, modality.X.toarray().astype(np.float32))
    assert list(names) == list(adata.obs_names)
    assert list(obs["condensed_cell_type"]) == list(adata.obs["condensed_cell_type"])
    assert header.places == {"X": False}  # its raw counts were not exported
