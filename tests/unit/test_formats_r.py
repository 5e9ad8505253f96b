"""R objects: those of tests/r_writer.py and real ones (R itself is in test_formats_r_with_r.py)."""

import gzip

import anndata as ad
import numpy as np
import pytest
import r_writer as r
from cellferry.errors import InputError
from cellferry.formats.r import walk
from r_cells import CELLS, GENES, N_CELLS, N_GENES, OPENERS, make_counts, make_frame, make_seurat
from reading import read_all, read_header
from scipy import sparse


@pytest.mark.parametrize("packed", OPENERS)
@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("named", [False, True])
def test_seurat(tmp_path, packed, order, version, named):
    path = tmp_path / "a.rds"
    if named:
        objects = {"table": make_frame(), "seurat": make_seurat()}
        r.write_rda(path, objects, OPENERS[packed], order, version)
    else:
        r.write_rds(path, make_seurat(), OPENERS[packed], order=order, version=version)
    header = read_header(path)
    assert (header.format, header.storage, header.counts) == ("r", "csr", "counts")
    assert (header.n_cells, header.n_genes, header.nonzeros) == (N_CELLS, N_GENES, make_counts().nnz)
    counts, names, obs, sizes = read_all(header, tmp_path / "scratch", 1000, header.obs_columns)
    assert np.array_equal(counts, make_counts().toarray())
    assert list(names) == CELLS
    assert list(header.var.index) == GENES
    assert max(sizes) <= 1000
    assert list(obs["label"][:3]) == ["B", "β", "NA"]
    assert list(obs["text"][:2]) == [None, "x"]
    assert obs["whole"].dtype == np.int32
    assert np.isnan(obs["number"][0])
    assert list(obs["flag"][:2]) == ["True", "False"]
    assert header.remarks[0] == ("the object seurat is read, but not table" if named else header.remarks[-1])


def test_several_objects(tmp_path):
    path = tmp_path / "a.rda"
    other = r.dgc(make_counts()[::-1], GENES, CELLS)
    r.write_rda(path, {"one": make_seurat(), "two": other})
    with pytest.raises(
        InputError, match=r"2 objects with counts: one, an object of class Seurat.*OBJECT/ASSAY"
    ):
        read_header(path)
    counts, *_ = read_all(read_header(path, assay="two"), tmp_path)
    assert np.array_equal(counts, make_counts().toarray()[::-1])
    assert read_header(path, assay="one/RNA").remarks[0] == "the object one is read, but not two"
    with pytest.raises(InputError, match=r"assay is 'ADT', which is not in the Seurat object; it has: RNA"):
        read_header(path, assay="one/ADT")


@pytest.mark.parametrize("orientation", ["auto", "genes", "cells"])
def test_orientation_of_a_matrix(tmp_path, orientation):
    matrix = make_counts().toarray().astype(int)
    barcodes = [f"{'ACGT' * 4}-{i}" for i in range(N_CELLS)]
    cells_are_rows = orientation != "genes"
    values = matrix.T if cells_are_rows else matrix
    sides = (barcodes, GENES) if cells_are_rows else (GENES, CELLS)
    for name, value in {
        "dense": r.dense,
        "sparse": lambda m, *names: r.dgc(sparse.csr_matrix(m), *names),
    }.items():
        path = tmp_path / f"{name}.rds"
        r.write_rds(path, value(values, *sides), gzip.open)
        header = read_header(path, orientation=orientation)
        counts, names, _, _ = read_all(header, tmp_path / "scratch", 2000)
        assert np.array_equal(counts, matrix)
        assert list(names) == sides[0 if cells_are_rows else 1]


def test_cells_without_names_are_numbered(tmp_path):
    r.write_rds(tmp_path / "a.rds", r.dgc(make_counts(), GENES, None))
    _, names, _, _ = read_all(read_header(tmp_path / "a.rds"), tmp_path)
    assert list(names) == [str(i + 1) for i in range(N_CELLS)]


def test_assays_to_choose_from(tmp_path):
    path = tmp_path / "a.rds"
    counts = r.assay(counts=r.dgc(make_counts(), GENES, CELLS), data=r.dgc(make_counts(), GENES, CELLS))
    r.write_rds(path, r.seurat({"ADT": counts, "Spatial": counts}, make_frame(), "HTO"))
    with pytest.raises(
        InputError, match=r"several assays .* contain counts, ADT, Spatial, but none is named RNA"
    ):
        read_header(path)
    r.write_rds(path, r.seurat({"ADT": counts, "Spatial": counts}, make_frame(), "Spatial"))
    assert read_header(path).remarks[0] == "the assay Spatial is read, but not ADT (datasets.blood.assay)"
    r.write_rds(path, r.seurat({}, make_frame(), "RNA"))
    with pytest.raises(InputError, match="has no assays; save it again with its counts"):
        read_header(path)
    empty = r.dgc(sparse.csr_matrix((0, 0)), None, None)
    logs = make_counts().log1p()
    r.write_rds(path, make_seurat(counts=empty, data=r.dgc(logs, GENES, CELLS)))
    with pytest.raises(
        InputError, match=r"no raw counts; it has assay RNA \(counts is empty; data: 20 × 50, does not"
    ):
        read_header(path)
    r.write_rds(path, make_seurat(counts=r.dgc(logs, GENES, CELLS), data=r.dgc(logs, GENES, CELLS)))
    with pytest.raises(InputError, match="counts of assay RNA holds the same values as data"):
        read_header(path)
    assert read_header(path, counts="counts").counts == "counts"
    r.write_rds(path, make_seurat(counts=r.dgc(logs * 2, GENES, CELLS), data=r.dgc(logs, GENES, CELLS)))
    assert read_header(path).places == {"counts": False, "data": False}


SCUBA = "formats/citeseq_AML_SCUBA"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["AML_Seurat.rda", "AML_BPCells.rda", "se.rds"])
@pytest.mark.parametrize("kept", [walk.KEPT_BYTES, 0])
def test_scuba_cells_are_the_same_in_every_form(test_data, tmp_path, monkeypatch, name, kept):
    monkeypatch.setattr(walk, "KEPT_BYTES", kept)
    adata = ad.read_h5ad(test_data / SCUBA / "AML_h5ad.h5ad")
    header = read_header(test_data / SCUBA / name)
    counts, names, obs, _ = read_all(header, tmp_path, 20_000, ["nCount_RNA", "Batch"])
    assert np.array_equal(counts, adata[names, header.var.index].layers["counts"].toarray())
    assert list(obs["Batch"]) == list(adata[names].obs["Batch"])
    assert np.array_equal(obs["nCount_RNA"], adata[names].obs["nCount_RNA"])
    assert counts.shape == adata.shape
    antibodies = read_header(test_data / SCUBA / name, assay="AB")
    assert antibodies.n_genes == 197
    assert list(read_all(antibodies, tmp_path, 20_000)[1]) == list(names)


REAL = [
    ("cellmix/cepo_cellbench.rda", (895, 894), "counts", True, 17),
    ("formats/seurat_sce/sce_pancreas_noninteger_counts.rda", (528, 1403), "counts", False, 2),
    ("formats/seurat_sce/sce_segerstolpe_200x200.rda", (200, 200), "counts", True, 33),
    ("formats/seurat_sce/seurat_v2_s_small.rda", (80, 230), "raw.data", True, 6),
    ("levine32_cytof/Levine_32dim_sce.rds", (1500, 39), "counts", False, 3),
    ("levine32_cytof/Levine_32dim_seurat_v5_Assay5.rds", (1500, 39), "counts", False, 7),
    ("pbmc/muscat_example_sce.rda", (1556, 1267), "counts", True, 3),
    ("pbmc/symphony_pbmcs_exprs_small.rda", (1200, 1767), "matrix", False, 0),
]


@pytest.mark.parametrize(("path", "shape", "place", "looks_right", "n_columns"), REAL)
def test_real_files(test_data, tmp_path, path, shape, place, looks_right, n_columns):
    header = read_header(test_data / path)
    assert (header.n_cells, header.n_genes) == shape
    assert (header.counts, header.places[place], len(header.obs_columns)) == (place, looks_right, n_columns)
    counts, *_ = read_all(header, tmp_path, 50_000, header.obs_columns)
    assert counts.any(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "formats/seurat_sce/seurat_v3.1_integrated_only_nocounts.rda",
            r"it has assay integrated \(counts is empty;",
        ),
        (
            "formats/seurat_sce/seurat_v4_empty_counts_zilionis.rda",
            r"it has assay RNA \(counts is empty; data: 20388 × 300,",
        ),
        ("pbmc/symphony_pbmcs_meta_small.rda", r"holds pbmcs_meta_small, a data\.frame of cell_id, donor"),
    ],
)
def test_real_files_without_counts(test_data, path, message):
    with pytest.raises(InputError, match=message):
        read_header(test_data / path)
