"""Every real file becomes chunks with the values of an independent reader, or is refused with a reason."""

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from cellferry.config.schema import fill_defaults
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from chunked import convert
from convert_to_chunks import convert_to_chunks
from flowio import FlowData
from inspect_dataset import inspect_dataset
from scipy import io, sparse
from simulate import label_names

pytestmark = pytest.mark.filterwarnings("ignore")

FOLDERS = ("formats", "pbmc", "cellmix", "levine32_cytof")


def h5ad(place):
    """Function that reads a matrix and its genes by anndata."""

    def read(path):
        found = ad.read_h5ad(path)
        if place == "raw":
            return found.raw.X, found.raw.var_names
        return found.layers[place.removeprefix("layers/")] if "/" in place else found.X, found.var_names

    return read


def tenx_h5(path):
    found = sc.read_10x_h5(path)
    return found.X, found.var_names


def tenx_mtx(path):
    folder = path.parent if path.is_file() else path
    matrix, *_ = folder.glob("matrix.mtx*")
    features, *_ = [*folder.glob("features.tsv*"), *folder.glob("genes.tsv*")]
    kinds = pd.read_csv(features, sep="\t", header=None, dtype=str)
    kept = (kinds[2] == "Gene Expression").to_numpy() if 2 in kinds else slice(None)
    return io.mmread(matrix).T.tocsr()[:, kept], kinds[1][kept]


def table(**options):
    def read(path):
        found = pd.read_csv(path, index_col=0, **options)
        found = found.T if "count.csv" in path.name else found
        return found.to_numpy(), found.columns

    return read


def table_with_repeated_names(path):
    values, _ = table()(path)
    return values, path.read_text().split("\n")[0].strip().replace('"', "").split(",")[1:]


def loom(path):
    with h5py.File(path) as file:
        return file["matrix"][:].T, file["row_attrs/Gene"][:].astype(str)


def other(name, read):
    """The same cells in another file."""
    return lambda path: read(path.parent / name)


SCUBA = "formats/citeseq_AML_SCUBA/"
AS_H5AD = other("AML_h5ad.h5ad", h5ad("layers/counts"))
READ = {
    "formats/10x/1.2.0/filtered_gene_bc_matrices/hg19_chr21": ({}, tenx_mtx),
    "formats/10x/1.2.0/filtered_gene_bc_matrices/hg19_chr21/matrix.mtx": ({}, tenx_mtx),
    "formats/10x/1.2.0/filtered_gene_bc_matrices_h5.h5": ({}, tenx_h5),
    "formats/10x/1.2.0/multiple_genomes.h5": (
        {"genome": "hg19_chr21"},
        other("filtered_gene_bc_matrices_h5.h5", tenx_h5),
    ),
    "formats/10x/3.0.0/filtered_feature_bc_matrix": ({}, tenx_mtx),
    "formats/10x/3.0.0/filtered_feature_bc_matrix/matrix.mtx.gz": ({}, tenx_mtx),
    "formats/10x/3.0.0/filtered_feature_bc_matrix.h5": ({}, tenx_h5),
    "formats/10x/int-ids/matrix.mtx": ({}, tenx_mtx),
    "formats/10x/test_10X_duplicate_gene_names/matrix.mtx.gz": ({}, tenx_mtx),
    "formats/csv/test_small.csv": ({}, table()),
    "formats/csv/test_small.tsv": ({}, table(sep="\t")),
    "formats/csv/test_small_duplicate_gene_names.csv": ({}, table_with_repeated_names),
    "formats/h5ad/anndataR_example.h5ad": ({}, h5ad("layers/counts")),
    "formats/h5ad/anndata_v0.7.0.h5ad": ({}, h5ad("raw")),
    "formats/h5ad/cxg_example_valid.h5ad": ({}, h5ad("raw")),
    "formats/h5ad/hlca_Krasnow_2020_100genes.h5ad": ({}, h5ad("X")),
    "formats/h5ad/scAtlasTb_pbmc68k_fakecounts.h5ad": ({}, h5ad("layers/counts")),
    "formats/loom/SCENIC.loom": ({}, loom),
    "formats/loom/mouseBrain_toy.loom": ({}, loom),
    SCUBA + "AML_h5ad.h5ad": ({}, h5ad("layers/counts")),
    SCUBA + "AML_Seurat.rda": ({}, AS_H5AD),
    SCUBA + "AML_BPCells.rda": ({}, AS_H5AD),
    SCUBA + "AML_BPCells/RNA_counts": ({}, lambda path: AS_H5AD(path.parent)),
    SCUBA + "se.rds": ({}, AS_H5AD),
    "pbmc/ref_pbmc3k.h5ad": ({}, h5ad("layers/counts")),
    "pbmc/query_kang_ifnb.h5ad": ({}, h5ad("raw")),
    "pbmc/muscat_example_sce.rda": ({}, other("query_kang_ifnb.h5ad", h5ad("raw"))),
    "pbmc/query_symphony_3tech.h5ad": ({}, h5ad("X")),
    "pbmc/query_unlabelled_kang2000.h5ad": ({}, h5ad("X")),
    "cellmix/ref_celseq2_5cl.h5ad": ({}, h5ad("X")),
    "cellmix/query_dropseq.h5ad": ({}, h5ad("X")),
    "cellmix/query_10x_symbols_894genes_dupnames.h5ad": ({}, h5ad("X")),
    "cellmix/cepo_cellbench.rda": (
        {},
        other("query_10x_symbols_894genes_dupnames.h5ad", h5ad("X")),
    ),
    **{
        f"cellmix/sc_{name}.count.csv.gz": ({}, table())
        for name in ("celseq2", "celseq2_5cl_p1", "celseq2_5cl_p2", "celseq2_5cl_p3", "dropseq")
    },
}

# As R finds them: genes, cells, stored values, their sum, and the sum weighted by their places.
BY_R = {
    "formats/seurat_sce/seurat_v2_s_small.rda": (230, 80, 4456, 19633, 47570146),
    "formats/seurat_sce/sce_segerstolpe_200x200.rda": (200, 200, 6935, 817534, 1550201501),
}

INTENSITIES = {
    "formats/fcs/ff.fcs": 10,
    "levine32_cytof/Levine_H1.fcs": 32,
    "levine32_cytof/Levine_H2.fcs": 32,
}

NO_COUNTS = "does not hold raw counts"
REFUSED = {
    "formats/10x/1.2.0/multiple_genomes.h5": "genome is not set, but the file contains another_genome, hg1",
    "formats/10x/test_10X_invalid.zip": "zip",
    "formats/h5ad/anndata_v0.5.0.h5ad": NO_COUNTS,
    "formats/h5ad/anndata_v0.11.4.h5ad": "holds no matrix in X, raw or layers",
    "formats/seurat_sce/sce_pancreas_noninteger_counts.rda": NO_COUNTS,
    "formats/seurat_sce/seurat_v3.1_integrated_only_nocounts.rda": "contains no raw counts; it has assay int",
    "formats/seurat_sce/seurat_v4_empty_counts_zilionis.rda": r"assay RNA \(counts is empty",
    "formats/citeseq_AML_SCUBA/AML_mudata.h5mu": NO_COUNTS,
    "formats/citeseq_AML_SCUBA/assays.h5": "HDF5 file of no known format",
    "formats/citeseq_AML_SCUBA/AML_BPCells": "contains .*AB_counts",
    "formats/citeseq_AML_SCUBA/AML_BPCells/RNA_data": NO_COUNTS,
    "pbmc/symphony_pbmcs_exprs_small.rda": NO_COUNTS,
    "pbmc/symphony_pbmcs_meta_small.rda": "pbmcs_meta_small, a data.frame",
    "levine32_cytof/Levine_32dim_sce.rds": NO_COUNTS,
    "levine32_cytof/Levine_32dim_seurat_v5_Assay5.rds": NO_COUNTS,
    "levine32_cytof/ref_H1_dense.h5ad": NO_COUNTS,
    "levine32_cytof/query_H2_dense.h5ad": NO_COUNTS,
    "levine32_cytof/Levine_32dim_H1_unlabelled_raw.csv": NO_COUNTS,
    "levine32_cytof/Levine_32dim_H2_unlabelled_raw.csv": NO_COUNTS,
    **dict.fromkeys(INTENSITIES, "holds intensities, as fcs files do"),
}

BESIDE = ("**/barcodes.tsv*", "**/features.tsv*", "**/genes.tsv*", "formats/*.csv", "**/*metadata.csv.gz")
BESIDE += ("**/*_labels.csv", "formats/fcs/gating_result.csv", "formats/citeseq_AML_SCUBA/AML_BPCells/*/*")
"""Parts of other files, annotation and tables of gene names."""


def test_no_file_is_forgotten(test_data):
    known = {*READ, *BY_R, *INTENSITIES, *REFUSED}
    beside = {path for pattern in BESIDE for path in test_data.glob(pattern)}
    files = {path for folder in FOLDERS for path in (test_data / folder).rglob("*") if path.is_file()}
    forgotten = {str(path.relative_to(test_data)) for path in files - beside} - known
    assert not forgotten
    assert not {path for path in known if not (test_data / path).exists()}


def together(chunks):
    return sparse.vstack([chunk.X for chunk in chunks]).tocsr()


@pytest.mark.parametrize("path", READ)
def test_counts_are_what_another_reader_finds(test_data, tmp_path, path):
    config, read = READ[path]
    expected, genes = read(test_data / path)
    chunks = convert(test_data / path, tmp_path / "chunks", **config)
    assert list(chunks[0].var_names) == list(genes)
    found = together(chunks)
    assert found.shape == expected.shape
    assert (found != sparse.csr_matrix(expected).astype(np.float32)).nnz == 0


@pytest.mark.parametrize("path", BY_R)
def test_counts_are_what_r_finds(test_data, tmp_path, path):
    counts = together(convert(test_data / path, tmp_path / "chunks")).tocoo()
    weights = (counts.col % 97 + 1).astype(np.float64) * (counts.row % 89 + 1)
    found = (
        *counts.shape[::-1],
        counts.nnz,
        counts.data.sum(dtype=np.float64),
        (weights * counts.data).sum(),
    )
    assert found == BY_R[path]


@pytest.mark.parametrize("path", REFUSED)
def test_what_cannot_be_used_is_refused(test_data, tmp_path, path):
    with pytest.raises(InputError, match=REFUSED[path]) as caught:
        convert(test_data / path, tmp_path / "chunks")
    assert Path(path).name in str(caught.value) or "datasets.blood." in str(caught.value)
    assert not list(tmp_path.glob("chunks/**/*.h5ad"))


@pytest.mark.parametrize("path", INTENSITIES)
def test_intensities_are_what_flowio_finds(test_data, tmp_path, path):
    """Markers are compared; time stays in the file's own steps."""
    own = {"role": "query", "path": str(test_data / path), "chunks": 3}
    fill_defaults({"modality": "cytometry", "datasets": {"blood": own}})
    own |= {"modality": "cytometry", "markers": {}}
    inspected = str(tmp_path / "blood.json")
    inspect_dataset(inspected, name="blood", config=own, label_names=label_names())
    convert_to_chunks(
        inspected,
        str(tmp_path / "chunks"),
        name="blood",
        config=own,
        label_names=label_names(),
        job=0,
        budget=Budget(1000),
        scratch=None,
    )
    chunks = [ad.read_h5ad(tmp_path / "chunks" / f"{number}.h5ad") for number in range(3)]
    events = FlowData(test_data / path)
    assert list(chunks[0].var["detector"]) == events.pnn_labels
    markers = (chunks[0].var["kind"] == "marker").to_numpy()
    assert markers.sum() == INTENSITIES[path]
    expected = events.as_array(preprocess=True)[:, markers].astype(np.float32)
    assert np.array_equal(together(chunks).toarray()[:, markers], expected)


def test_the_same_normalized_values_by_all_five_ways(test_data, tmp_path):
    """MuData holds these cells without counts."""
    from cellferry.datasets.dataset import Dataset

    places = {
        "AML_h5ad.h5ad": "X",
        "AML_mudata.h5mu": "X",
        "AML_Seurat.rda": "data",
        "AML_BPCells.rda": "data",
        "se.rds": "logcounts",
    }
    found = {}
    for name, place in places.items():
        own = {"role": "query", "path": str(test_data / SCUBA / name), "counts": place}
        fill_defaults({"datasets": {"aml": own}})
        blocks = [block for _, block in Dataset("aml", own).blocks([], 1 << 25, tmp_path)]
        names = [name for block in blocks for name in block.names]
        found[name] = (names, sparse.vstack([block.counts for block in blocks]).toarray())
    names, expected = found.pop("AML_h5ad.h5ad")
    for other_names, values in found.values():
        assert other_names == names
        np.testing.assert_array_equal(values, expected)
