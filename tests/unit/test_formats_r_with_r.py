"""R objects compared with R: tests/r_objects.R saves them, and their content in a plain form beside them."""

import shutil
import subprocess
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.formats.r import stream, walk
from reading import read_all, read_header
from scipy import sparse

pytestmark = pytest.mark.slow  # loading R packages takes long

SCRIPT = Path(__file__).parents[1] / "r_objects.R"
PACKAGES = "Matrix, SeuratObject and SingleCellExperiment"


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    names = PACKAGES.replace(" and ", ", ").split(", ")
    present = (
        f"quit(status = !all(sapply(c({', '.join(map(repr, names))}), requireNamespace, quietly = TRUE)))"
    )
    if subprocess.run(["Rscript", "-e", present], capture_output=True, check=False).returncode:
        pytest.skip(f"R lacks one of the packages {PACKAGES}")
    folder = tmp_path_factory.mktemp("r_objects")
    write_small(folder)
    subprocess.run(["Rscript", str(SCRIPT), str(folder)], capture_output=True, check=True)
    assert (folder / "done").exists()
    return folder


def write_small(folder):
    """Files that R objects can refer to."""
    counts = np.random.default_rng(0).poisson(0.7, size=(30, 12)).astype(np.float32)
    cells, genes = [f"cell{i}" for i in range(30)], [f"gene{i}" for i in range(12)]
    obs, var = pd.DataFrame(index=cells), pd.DataFrame(index=genes)
    for name, x in {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}.items():
        ad.AnnData(x(counts), obs=obs, var=var).write_h5ad(folder / f"small_{name}.h5ad")
    by_cell = sparse.csr_matrix(counts)
    with h5py.File(folder / "small.h5", "w") as file:
        for name in ("data", "indices", "indptr"):
            file[f"mm10/{name}"] = getattr(by_cell, name)
        file["mm10/shape"] = np.array([12, 30])
        file["mm10/barcodes"], file["mm10/genes"] = np.array(cells, "S"), np.array(genes, "S")


def lines(path):
    found = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [None if line == "<NA>" else line for line in found]


def expected(objects, name):
    """Cells × genes, names of cells and genes, and obs by column."""
    genes, cells = lines(objects / f"{name}.genes"), lines(objects / f"{name}.cells")
    counts = np.fromfile(objects / f"{name}.counts").reshape(len(cells), len(genes))
    obs = {}
    for path in objects.glob(f"{name}.*.obs"):
        column, kind = path.name.removeprefix(f"{name}.").removesuffix(".obs").rsplit(".", 1)
        values = lines(path)
        if kind == "number":
            obs[column] = np.array([np.nan if v in (None, "NA") else float(v) for v in values])
        else:
            obs[column] = [v.title() if v and kind == "flag" else v for v in values]
    return counts, cells, genes, obs


def assert_equal(path, oracle, scratch, max_bytes=2000, **options):
    header = read_header(path, **options)
    counts, names, obs, _ = read_all(header, scratch, max_bytes, header.obs_columns)
    expected_counts, cells, genes, expected_obs = oracle
    assert header.format == "r"
    with np.errstate(invalid="ignore"):  # R's NA is a special NaN
        assert np.array_equal(counts, expected_counts.astype(np.float32), equal_nan=True)
    assert list(names) == cells
    assert list(header.var.index) == genes
    for column, values in expected_obs.items():
        if isinstance(values, list):
            assert list(obs[column]) == values, column
        else:
            assert np.array_equal(obs[column], values, equal_nan=True), column
    assert not list(scratch.glob("*"))
    return header


MATRICES = ["dgCMatrix", "dgTMatrix", "dgRMatrix", "lgCMatrix", "dgeMatrix", "integer", "double", "logical"]
MATRICES += ["missing", "turned", "turned_sparse", "deferred", "deferred_double"]
SAVED = ["gzip", "bzip2", "xz", "plain", "version2", "little2", "little2.gz", "little3", "little3.gz"]
SEURAT = [
    "seurat",
    "seurat_laden",
    "seurat_plain",
    "seurat_2",
    "seurat_little",
    "active_adt",
    "no_rna",
    "in_data",
    "assay",
]
SEURAT += ["seurat5", "split", "fewer_cells", "seurat2"]
BIOCONDUCTOR = ["sce", "sce_ranges", "sce_dense", "se", "unnamed", "shallow"]
SAME = [f"{name}.rds" for name in (*MATRICES, *SAVED, *SEURAT, *BIOCONDUCTOR)]
SAME += ["alone.rda", "alone2.RData", "alone_plain.rda", "one_of_several.rda"]
LARGE = ["large.rds", "large_plain.rds", "large_dense.rds"]
HDF5 = ["hdf5.rds", "hdf5_subset.rds", "hdf5_turned.rds", "hdf5_bound.rds", "hdf5_memory.rds"]
HDF5 += ["tenx.rds", "h5ad_csr.rds", "h5ad_csc.rds", "h5ad_dense.rds"]


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", SAME)
def test_as_r_has_it(objects, scratch, name):
    assert_equal(objects / name, expected(objects, name), scratch)


@pytest.mark.parametrize("name", LARGE)
def test_long_vectors(objects, scratch, name):
    assert_equal(objects / name, expected(objects, name), scratch, 10**6)


@pytest.mark.parametrize(
    "name", ["seurat.rds", "split.rds", "seurat2.rds", "sce.rds", "turned.rds", "large.rds"]
)
def test_nothing_kept_but_what_is_short(objects, scratch, name, monkeypatch):
    monkeypatch.setattr(walk, "KEPT_BYTES", 0)
    monkeypatch.setattr(stream, "CHUNK", 1 << 10)
    monkeypatch.setattr(walk, "CHUNK", 1 << 10)
    monkeypatch.setattr(walk, "SHORT_BYTES", 700)
    monkeypatch.setattr(walk, "PREVIEW_ITEMS", 50)
    assert_equal(objects / name, expected(objects, name), scratch, 10**5)


@pytest.mark.parametrize("name", HDF5)
def test_hdf5_beside(objects, scratch, name):
    if not (objects / name).exists():
        pytest.skip("R lacks HDF5Array")
    assert_equal(objects / name, expected(objects, name), scratch)


def test_hdf5_that_was_moved_along(objects, scratch, tmp_path):
    if not (objects / "saved").exists():
        pytest.skip("R lacks HDF5Array")
    shutil.copytree(objects / "saved", tmp_path / "moved")
    assert_equal(tmp_path / "moved" / "se.rds", expected(objects, "saved"), scratch)
    for name in ("hdf5.rds", "stored.h5"):
        shutil.copy(objects / name, tmp_path / name)
    shutil.move(objects / "stored.h5", objects / "away.h5")
    try:
        assert_equal(tmp_path / "hdf5.rds", expected(objects, "hdf5.rds"), scratch)
        with pytest.raises(
            InputError, match=r"its counts are in .*stored\.h5, which is missing; put 'stored\.h5'"
        ):
            read_header(objects / "hdf5.rds")
    finally:
        shutil.move(objects / "away.h5", objects / "stored.h5")


def test_a_logarithm_is_not_computed(objects):
    if not (objects / "hdf5_log.rds").exists():
        pytest.skip("R lacks HDF5Array")
    with pytest.raises(InputError, match=r"only described \(DelayedUnaryIsoOpStack\).*as\(x, 'dgCMatrix'\)"):
        read_header(objects / "hdf5_log.rds")


def test_names_that_would_have_to_be_selected(objects):
    if not (objects / "hdf5_names.rds").exists():
        pytest.skip("R lacks HDF5Array")
    with pytest.raises(
        InputError, match="class DelayedMatrix of package DelayedArray selects from a matrix with"
    ):
        read_header(objects / "hdf5_names.rds")


def test_what_is_chosen_and_told(objects, scratch):
    header = read_header(objects / "seurat.rds")
    assert (header.counts, header.storage, header.dtype) == ("counts", "csr", "float64")
    assert header.places == {"counts": True, "data": False, "scale.data": False}
    assert header.remarks == [
        "the assay RNA is read, but not ADT (datasets.blood.assay)",
        "counts are taken from counts of assay RNA, not from data, scale.data",
    ]
    assert list(header.var.columns) == ["symbol", "kind"]
    assert pd.isna(header.var["symbol"].iloc[0])
    assert list(header.var["symbol"])[1:] == [gene.lower() for gene in header.var.index[1:]]
    assert not read_header(objects / "large.rds").in_order
    assert read_header(objects / "large_plain.rds").in_order
    header = read_header(objects / "sce.rds")
    assert header.counts == "counts"
    assert (
        "columns of the cells' annotation that hold neither strings nor numbers are left out: list"
        in (header.remarks[-1])
    )
    assert list(header.var.columns) == ["symbol"]
    assert read_header(objects / "se.rds").counts == "umi"
    assert "Spatial" in read_header(objects / "no_rna.rds").remarks[0]
    remark = "counts are taken from data of assay RNA, not from scale.data"
    assert read_header(objects / "in_data.rds").remarks == [remark]


def test_named_assays_and_places(objects, scratch):
    oracle = expected(objects, "antibodies")
    for name in ("seurat.rds", "sce.rds"):
        assert_equal(objects / name, oracle, scratch, assay="ADT")
    assert_equal(objects / "seurat2.rds", expected(objects, "cite"), scratch, assay="CITE")
    header = read_header(objects / "seurat.rds", counts="data")
    assert header.counts == "data"
    assert_equal(objects / "split.rds", expected(objects, "split_even"), scratch, counts="counts.even")
    assert_equal(objects / "several.rda", expected(objects, "several.rda"), scratch, assay="second")
    for name, options, message in (
        (
            "seurat.rds",
            {"assay": "SCT"},
            r"assay is 'SCT', which is not in the Seurat object; it has: RNA, ADT",
        ),
        (
            "seurat.rds",
            {"counts": "umi"},
            r"counts is 'umi', which is not there; it has assay RNA \(counts: 25 × 40;",
        ),
        (
            "emptied.rds",
            {"assay": "RNA", "counts": "counts"},
            r"which is empty; it has assay RNA \(counts is empty",
        ),
        (
            "dgCMatrix.rds",
            {"assay": "RNA"},
            r"assay is 'RNA', but the file contains only a matrix \(.* dgCMatrix",
        ),
        ("dgCMatrix.rds", {"counts": "data"}, r"counts is 'data', but the file contains only a matrix"),
        ("several.rda", {}, r"holds 2 objects with counts: (first|second), an object of class dgCMatrix"),
    ):
        with pytest.raises(InputError, match=message):
            read_header(objects / name, **options)


def test_split_layers(objects, scratch):
    header = read_header(objects / "split.rds")
    assert "2 of 25 genes are left out, as they are not in all layers" in header.remarks[2]
    assert header.remarks[3] == "layers are read one after another: RNA/counts.odd, RNA/counts.even"
    assert list(header.var["symbol"][:2]) == ["actb", "mt-co1"]


def test_filtered_cells_are_told(objects):
    remarks = read_header(objects / "seurat2.rds").remarks
    assert "10 of 40 cells of raw.data are left out: they are not in the object's annotation" in remarks[-1]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("counts_are_data.rds", {}, "counts of assay RNA holds the same values as data"),
        (
            "emptied.rds",
            {},
            r"no raw counts; it has assay RNA \(counts is empty; data: 25 × 40, does not",
        ),
        (
            "emptied_alone.rds",
            {},
            r"no raw counts; it has assay RNA \(counts is empty; data: 25 × 40, does not look",
        ),
        ("integrated.rds", {}, r"no raw counts; it has assay integrated \(counts is empty; data"),
        (
            "logcounts.rds",
            {},
            r"no raw counts; it has the SingleCellExperiment \(logcounts: 25 × 40, does not look",
        ),
        (
            "symmetric.rds",
            {},
            "counts is an object of class dsCMatrix of package Matrix, which cannot be read as a matrix",
        ),
        ("ascii.rds", {}, "saved by R as text.*without ascii = TRUE"),
        ("other_list.rds", {}, "holds a list of a, b, but no Seurat object, SingleCellExperiment or matrix"),
        ("other_frame.rds", {}, r"holds a data\.frame of label, text.*can be written as csv"),
        ("other_lm.rds", {}, "holds an object of class lm, but no"),
        ("other_function.rds", {}, "holds a function, but no"),
        ("other_unheard.rds", {}, "holds an object of class Unheard of package .GlobalEnv, but no"),
        ("other_null.rds", {}, "holds NULL, but no"),
        ("other_environment.rds", {}, "holds an environment, but no"),
        ("other_strings.rds", {}, "holds a character, but no"),
        ("other_number.rds", {}, "holds a double, but no"),
        ("other_pattern.rds", {}, "holds an object of class ngCMatrix of package Matrix, but no"),
    ],
)
def test_refused(objects, name, options, message):
    with pytest.raises(InputError, match=message):
        read_header(objects / name, **options)


@pytest.mark.parametrize(
    "name", ["seurat.rds", "little3.gz.rds", "xz.rds", "bzip2.rds", "plain.rds", "alone.rda"]
)
def test_truncated(objects, tmp_path, name):
    whole = (objects / name).read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError, match="copy or download it again"):
            read_header(tmp_path / name)
