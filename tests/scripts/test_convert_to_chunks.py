"""convert_to_chunks: all cells in their order, whatever the memory, the blocks and the chunks."""

import gzip
import re
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from chunked import N_CELLS, N_GENES, convert, make_adata, write_mtx_whose_order_ends_late
from scipy import sparse
from told import tells_progress

pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique")


@pytest.fixture
def blood(tmp_path):
    make_adata().write_h5ad(tmp_path / "blood.h5ad")
    return tmp_path / "blood.h5ad"


def corrected(path, storage=sparse.csr_matrix):
    """A file of counts from each of which something else was taken; returns what rounding makes of them."""
    adata = make_adata()
    adata.var_names_make_unique()
    counts = adata.X.toarray() * 20
    left = (counts * np.random.default_rng(2).uniform(0.8, 1, counts.shape)).astype(np.float32)
    adata.X = storage(left)
    adata.write_h5ad(path)
    return np.rint(left), float(left.sum())


@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_corrected_counts_are_rounded_if_wanted(tmp_path, capsys, storage):
    path = tmp_path / "blood.h5ad"
    expected, before = corrected(path, storage)
    with pytest.raises(InputError, match=r"set datasets\.blood\.counts_rounding: nearest"):
        convert(path, tmp_path / "refused")
    capsys.readouterr()
    chunks = convert(path, tmp_path / "chunks", counts_rounding="nearest", jobs=2)
    assert np.array_equal(sparse.vstack([chunk.X for chunk in chunks]).toarray(), expected)
    assert all((chunk.X.data > 0).all() for chunk in chunks)
    said = capsys.readouterr().out
    totals = re.findall(r"counts of (\d+) cells were rounded .* from ([\d,.]+) to ([\d,]+) ", said)
    as_numbers = np.array([[float(number.replace(",", "")) for number in line] for line in totals])
    first = (
        as_numbers[:-2].sum(0) if len(totals) > 2 else None
    )  # of inspect_dataset, where cells come in order
    assert as_numbers[-2:].sum(0) == pytest.approx([N_CELLS, before, expected.sum()], abs=0.2)
    assert first is None or first[0] == N_CELLS


def test_normalized_values_are_not_rounded(tmp_path):
    """In storage whose cells are seen at once, and where they are sorted first."""
    adata = make_adata()
    counts = adata.X.toarray()
    normalized = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    for storage in (sparse.csr_matrix, sparse.csc_matrix):
        adata.X = storage(normalized)
        adata.write_h5ad(tmp_path / "blood.h5ad")
        with pytest.raises(InputError, match="does not hold counts that could be rounded"):
            convert(tmp_path / "blood.h5ad", tmp_path / storage.__name__, counts_rounding="nearest")


@pytest.mark.parametrize("layout", ["by cell", "by gene"])
def test_the_log_tells_how_far_it_is(tmp_path, monkeypatch, capsys, layout):
    adata = make_adata()
    if layout == "by gene":
        adata.X = adata.X.tocsc()
    adata.write_h5ad(tmp_path / "blood.h5ad")
    monkeypatch.setattr(Budget, "block_bytes", lambda *_, **__: 2000)
    monkeypatch.setattr("cellferry.core.progress.SECONDS_BETWEEN_LINES", 0)
    convert(tmp_path / "blood.h5ad", tmp_path / "chunks")
    log = capsys.readouterr().out
    assert tells_progress(log, "read")
    assert tells_progress(log, "sorted by cell") == (layout == "by gene")


@pytest.mark.parametrize("chunks", [1, 3, 8])
def test_chunks_hold_all_cells(blood, tmp_path, chunks):
    parts = convert(
        blood, tmp_path / "chunks", chunks=chunks, label="ct", batch="donor", keep_obs=["n", "ct"]
    )
    adata = make_adata()
    assert [len(part) for part in parts] == [
        (k + 1) * N_CELLS // chunks - k * N_CELLS // chunks for k in range(chunks)
    ]
    assert np.array_equal(sparse.vstack([part.X for part in parts]).toarray(), adata.X.toarray())
    names = [name for part in parts for name in part.obs_names]
    assert names == list(adata.obs_names)
    obs = pd.concat([part.obs.astype({"batch": str, "label": object, "ct": object}) for part in parts])
    assert list(obs["batch"][:2]) == ["blood/d1", "blood/d2"]
    assert obs["batch"].iloc[68] == "blood/missing"
    assert [None if pd.isna(v) else v for v in obs["label"][:4]] == ["B", "T", None, None]
    assert list(obs["n"]) == list(range(N_CELLS))
    for part in parts:
        assert list(part.obs.columns) == ["batch", "label", "n", "ct"]
        assert list(part.var_names) == list(adata.var_names)
        assert list(part.var["id"]) == list(adata.var["id"])
        about = part.uns["cellferry"]
        assert (about["cells"], about["nonzeros"]) == (len(part), part.X.nnz)
        assert about["dataset"] == "blood"
        assert about["total_counts"] == part.X.sum()
        assert np.array_equal(about["gene_totals"], np.asarray(part.X.sum(axis=0)).ravel())
    assert len({part.uns["cellferry"]["id"] for part in parts}) == chunks


def test_blocks_and_chunks_need_not_agree(blood, tmp_path, monkeypatch):
    whole = sparse.vstack([part.X for part in convert(blood, tmp_path / "a")]).toarray()
    for max_bytes in (300, 2000, 10_000):
        monkeypatch.setattr(Budget, "block_bytes", lambda self, need, n=max_bytes, **kwargs: n)
        parts = convert(blood, tmp_path / str(max_bytes), chunks=7)
        assert np.array_equal(sparse.vstack([part.X for part in parts]).toarray(), whole)


def test_filter_and_single_batch(blood, tmp_path):
    parts = convert(blood, tmp_path / "chunks", cells={"doublet": ["SNG"], "plate": [2]})
    expected = make_adata().obs.query("doublet == 'SNG' and plate == 2").index
    assert [name for part in parts for name in part.obs_names] == list(expected)
    assert set(parts[0].obs["batch"]) == {"blood/all"}
    assert "label" not in parts[0].obs


def test_fewer_cells_than_chunks(blood, tmp_path):
    parts = convert(blood, tmp_path / "chunks", chunks=7, cells={"n": [3, 4, 5]}, label="ct", keep_obs=["n"])
    assert [len(part) for part in parts] == [0, 0, 1, 0, 1, 0, 1]
    assert all(list(part.obs.columns) == ["batch", "label", "n"] for part in parts)
    assert all(part.uns["cellferry"]["cells"] == len(part) for part in parts)


def test_annotation_table(blood, tmp_path):
    lines = [f"cell{i},{'x' if i % 2 else 'y'},{i}" for i in range(5, N_CELLS)]
    (tmp_path / "obs.csv.gz").write_bytes(gzip.compress("\n".join(["name,ct,extra", *lines]).encode()))
    parts = convert(
        blood, tmp_path / "chunks", obs=tmp_path / "obs.csv.gz", label="ct", batch="donor", keep_obs=["extra"]
    )
    obs = pd.concat([part.obs.astype({"label": object}) for part in parts])
    assert obs["label"].isna().sum() == 5  # the table stands before the file's column of the same name
    assert obs["label"].iloc[5] == "x"
    assert np.isnan(obs["extra"].iloc[0])
    assert obs["extra"].iloc[7] == 7
    assert obs["batch"].iloc[0] == "blood/d1"


def test_annotation_table_of_other_cells(blood, tmp_path):
    (tmp_path / "obs.csv").write_text("name,ct\nother,B\n")
    with pytest.raises(
        InputError, match=r"obs\.csv \(datasets\.blood\.obs\): names none of the \d+ cells of .*blood"
    ):
        convert(blood, tmp_path / "chunks", obs=tmp_path / "obs.csv", label="ct")


def test_explicit_zeros_are_dropped(tmp_path):
    adata = make_adata()
    nonzeros = adata.X.nnz
    adata.X.data[:10] = 0
    adata.var_names_make_unique()
    adata.write_h5ad(tmp_path / "a.h5ad")
    parts = convert(tmp_path / "a.h5ad", tmp_path / "chunks")
    assert sum(part.X.nnz for part in parts) == nonzeros - 10


def test_cells_of_the_same_name(tmp_path):
    adata = make_adata()
    adata.obs_names = [*adata.obs_names[:-1], "cell3"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        InputError,
        match=r"a\.h5ad: 1 duplicate cell name\(s\), such as 'cell3'; .*datasets\.blood\.cells",
    ):
        convert(tmp_path / "a.h5ad", tmp_path / "chunks")
    assert not (tmp_path / "chunks").exists()
    parts = convert(tmp_path / "a.h5ad", tmp_path / "chunks", cells={"n": [3, 4, 5]})
    assert sum(map(len, parts)) == 3


def test_no_cell_is_kept(blood, tmp_path):
    with pytest.raises(
        InputError, match=r"datasets\.blood\.cells\.doublet: fits no value of .*'sng' \(did you mean 'SNG'"
    ):
        convert(blood, tmp_path / "chunks", cells={"doublet": ["sng"]})


def test_wrong_value_far_from_where_one_looks_first(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.formats.matrix.PREVIEW_VALUES", 10)
    adata = make_adata()
    adata.X.data[500] = 2.5
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        InputError, match=r"a\.h5ad: X does not hold raw counts: 2\.5 in cell 'cell\d+', gene 'G\d+'"
    ):
        convert(tmp_path / "a.h5ad", tmp_path / "chunks")
    assert not list(tmp_path.glob("chunks/*"))


def test_matrix_whose_order_ends_late(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cellferry.formats.tenx_mtx.PREVIEW_BYTES", 100)
    monkeypatch.setattr(Budget, "block_bytes", lambda self, need, **kwargs: 1000)
    counts = sparse.coo_matrix(make_adata().X)
    write_mtx_whose_order_ends_late(tmp_path / "10x", counts)
    parts = convert(tmp_path / "10x", tmp_path / "chunks", scratch=str(tmp_path / "scratch"))
    assert np.array_equal(sparse.vstack([part.X for part in parts]).toarray(), counts.toarray())
    assert "is not fully sorted by cell" in capsys.readouterr().out
    assert list((tmp_path / "scratch").iterdir()) == []  # used, and tidied up


def test_too_little_memory(blood, tmp_path):
    with pytest.raises(InputError, match="mem_mb=300 is too low: this job cannot run below"):
        convert(blood, tmp_path / "chunks", budget=Budget(300))


def test_what_a_format_needs_besides_is_asked_of_the_memory(tmp_path):
    adata = make_adata()
    adata.var_names = [f"RPL{n}" for n in range(N_GENES)]
    adata.to_df().astype(int).to_parquet(tmp_path / "blood.parquet")
    with pytest.raises(InputError, match="mem_mb=700 is too low: this job cannot run below"):
        convert(tmp_path / "blood.parquet", tmp_path / "chunks", budget=Budget(700))
    parts = convert(tmp_path / "blood.parquet", tmp_path / "chunks", budget=Budget(1000))
    assert np.array_equal(sparse.vstack([part.X for part in parts]).toarray(), adata.X.toarray())


@pytest.mark.filterwarnings("ignore")
def test_real_files_agree(test_data, tmp_path):
    """The same cells as h5ad and as csv.gz must give the same chunks."""
    reference = ad.read_h5ad(test_data / "cellmix/query_dropseq.h5ad")
    csv = convert(
        test_data / "cellmix/sc_dropseq.count.csv.gz",
        tmp_path / "csv",
        obs=test_data / "cellmix/sc_dropseq.metadata.csv.gz",
        label="cell_line_demuxlet",
        cells={"demuxlet_cls": ["SNG"]},
    )
    h5ad = convert(
        test_data / "cellmix/query_dropseq.h5ad",
        tmp_path / "h5ad",
        label="cell_line_demuxlet",
        cells={"demuxlet_cls": ["SNG"]},
    )
    from_csv, from_h5ad = (ad.concat(parts) for parts in (csv, h5ad))
    assert from_csv.shape == from_h5ad.shape == (210, reference.n_vars)
    from_csv = from_csv[:, from_h5ad.var_names]
    assert np.array_equal(from_csv.X.toarray(), from_h5ad.X.toarray())
    assert list(from_csv.obs["label"].astype(str)) == list(from_h5ad.obs["label"].astype(str))


@pytest.mark.filterwarnings("ignore")
def test_truncated_counts_are_told(test_data, tmp_path, capsys):
    convert(test_data / "formats/h5ad/scAtlasTb_pbmc68k_fakecounts.h5ad", tmp_path / "chunks")
    assert "only 34% of the cells have a 1 as smallest value" in capsys.readouterr().out


def test_chunks_replace_older_ones(blood, tmp_path):
    (tmp_path / "chunks" / "0").mkdir(parents=True)
    shutil.copy(blood, tmp_path / "chunks" / "0" / "9.h5ad")
    convert(blood, tmp_path / "chunks", chunks=2)
