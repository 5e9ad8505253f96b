import gzip
import re
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.config.schema import load_schema
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from check_datasets import check_datasets
from convert_to_chunks import convert_to_chunks
from inspect_dataset import inspect_dataset
from scipy import sparse
from simulate import label_names, simulate_events
from told import tells_progress

pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique")

N_CELLS, N_GENES = 70, 40
DEFAULTS = {
    key: value["default"]
    for key, value in load_schema()["$defs"]["dataset"]["properties"].items()
    if "default" in value
}


def make_adata():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(N_CELLS, N_GENES)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "ct": pd.Categorical(["B", "T", None, "nan", "B"] * 14),
            "donor": pd.Categorical(["d1", "d2"] * 34 + [None, "d1"]),
            "n": np.arange(N_CELLS, dtype=float),
            "doublet": ["SNG", "SNG", "DBL", "SNG", "SNG"] * 14,
            "plate": [1, 2] * 35,
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    names = [f"G{i}" for i in range(N_GENES - 1)] + ["G0"]  # one name twice
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame({"id": names}, index=names))


@pytest.fixture
def blood(tmp_path):
    make_adata().write_h5ad(tmp_path / "blood.h5ad")
    return tmp_path / "blood.h5ad"


LITTLE = Budget(700)


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
    totals = re.findall(r"counts of (\d+) cells were rounded .* total of ([\d,.]+) is ([\d,]+) now", said)
    as_numbers = np.array([[float(number.replace(",", "")) for number in line] for line in totals])
    first = (
        as_numbers[:-2].sum(0) if len(totals) > 2 else None
    )  # of inspect_dataset, where cells come in order
    assert as_numbers[-2:].sum(0) == pytest.approx([N_CELLS, before, expected.sum()], abs=0.2)
    assert first is None or first[0] == N_CELLS


def test_normalised_values_are_not_rounded(tmp_path):
    """In storage whose cells are seen at once, and where they are sorted first."""
    adata = make_adata()
    counts = adata.X.toarray()
    normalised = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    for storage in (sparse.csr_matrix, sparse.csc_matrix):
        adata.X = storage(normalised)
        adata.write_h5ad(tmp_path / "blood.h5ad")
        with pytest.raises(InputError, match="does not hold counts that could be rounded"):
            convert(tmp_path / "blood.h5ad", tmp_path / storage.__name__, counts_rounding="nearest")


def convert(path, folder, *, obs=None, budget=LITTLE, scratch=None, **config):
    """Inspect, check and convert; the chunks in their order."""
    settings = {
        "path": path if isinstance(path, list | dict) else str(path),
        "obs": obs if isinstance(obs, list) else obs and str(obs),
    }
    settings = {**DEFAULTS, "role": "query", **settings, "chunks": 3, "jobs": 1, **config}
    inspected = folder.with_suffix(".json")
    inspect_dataset(str(inspected), name="blood", config=settings, label_names=label_names())
    check_datasets([str(inspected)], str(folder.with_suffix(".tsv")), parents={})
    for job in range(settings["jobs"]):
        convert_to_chunks(
            str(inspected),
            str(folder / str(job)),
            name="blood",
            config=settings,
            label_names=label_names(),
            job=job,
            budget=budget,
            scratch=scratch,
        )
    paths = sorted(folder.glob("*/*.h5ad"), key=lambda chunk: int(chunk.stem))
    assert [int(chunk.stem) for chunk in paths] == list(range(settings["chunks"]))
    return [ad.read_h5ad(chunk) for chunk in paths]


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
        match=r"a\.h5ad: 1 cell name\(s\) stand more than once, such as 'cell3'; .*datasets\.blood\.cells",
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
    monkeypatch.setattr("cellferry.formats.matrix.GLANCE", 10)
    adata = make_adata()
    adata.X.data[500] = 2.5
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(
        InputError, match=r"a\.h5ad: X does not hold raw counts: 2\.5 in cell 'cell\d+', gene 'G\d+'"
    ):
        convert(tmp_path / "a.h5ad", tmp_path / "chunks")
    assert not list(tmp_path.glob("chunks/*"))


def write_mtx_whose_order_ends_late(folder, counts):
    folder.mkdir()
    order = np.argsort(counts.row, kind="stable")
    order = np.append(order[1:], order[0])
    lines = ["%%MatrixMarket matrix coordinate integer general", f"{N_GENES} {N_CELLS} {counts.nnz}"]
    lines += [f"{counts.col[i] + 1} {counts.row[i] + 1} {counts.data[i]:.0f}" for i in order]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (folder / "genes.tsv").write_text("".join(f"ENSG{i:011d}\tG{i}\n" for i in range(N_GENES)))
    (folder / "barcodes.tsv").write_text("".join(f"cell{i}\n" for i in range(N_CELLS)))


def test_matrix_whose_order_ends_late(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cellferry.formats.tenx_mtx.GLANCE_BYTES", 100)
    monkeypatch.setattr(Budget, "block_bytes", lambda self, need, **kwargs: 1000)
    counts = sparse.coo_matrix(make_adata().X)
    write_mtx_whose_order_ends_late(tmp_path / "10x", counts)
    parts = convert(tmp_path / "10x", tmp_path / "chunks", scratch=str(tmp_path / "scratch"))
    assert np.array_equal(sparse.vstack([part.X for part in parts]).toarray(), counts.toarray())
    assert "not sorted by cell throughout" in capsys.readouterr().out
    assert list((tmp_path / "scratch").iterdir()) == []  # used, and tidied up


def test_too_little_memory(blood, tmp_path):
    with pytest.raises(InputError, match="mem_mb is 300, and this job cannot run below"):
        convert(blood, tmp_path / "chunks", budget=Budget(300))


def test_what_a_format_needs_besides_is_asked_of_the_memory(tmp_path):
    adata = make_adata()
    adata.var_names = [f"RPL{n}" for n in range(N_GENES)]
    adata.to_df().astype(int).to_parquet(tmp_path / "blood.parquet")
    with pytest.raises(InputError, match="mem_mb is 700, and this job cannot run below"):
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


# --- cytometry ------------------------------------------------------------------------------------------

CYTOMETRY = {"modality": "cytometry", "markers": {}}


def write_events(folder, n_events=200):
    """A table without names of events, and their labels, one a line."""
    events = simulate_events(n_events)
    events.X[3, 2] = events.X[4, 5] = 0
    events.to_df().to_csv(folder / "blood.csv", index=False)
    labels = events.obs["cell_type"].astype(str)
    (folder / "gates.csv").write_text("\n".join(["population", *labels]) + "\n")
    return events, labels.to_numpy()


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("max_bytes", [2000, 10**6])
def test_a_table_of_events_without_names(tmp_path, monkeypatch, jobs, max_bytes):
    monkeypatch.setattr(Budget, "block_bytes", lambda self, need, **kwargs: max_bytes)
    events, labels = write_events(tmp_path)
    chunks = convert(
        tmp_path / "blood.csv",
        tmp_path / "chunks",
        obs=tmp_path / "gates.csv",
        obs_by="order",
        label="population",
        chunks=5,
        jobs=jobs,
        **CYTOMETRY,
    )
    found = sparse.vstack([chunk.X for chunk in chunks])
    assert np.array_equal(found.toarray(), events.X.toarray())
    assert found.nnz == 200 * 12 - 2  # zeros are not stored
    assert (found.data < 0).any()
    assert [name for chunk in chunks for name in chunk.obs_names] == [f"event{n}" for n in range(1, 201)]
    assert [label for chunk in chunks for label in chunk.obs["label"]] == list(labels)
    assert list(chunks[0].var["kind"]) == ["time", *["marker"] * 10, "dna"]
    assert list(chunks[0].var["channel"]) == list(events.var_names)


def test_a_filter_on_labels_by_order(tmp_path):
    """Lines count all events, those that are filtered out too."""
    events, labels = write_events(tmp_path)
    chunks = convert(
        tmp_path / "blood.csv",
        tmp_path / "chunks",
        obs=tmp_path / "gates.csv",
        obs_by="order",
        label="population",
        cells={"population": ["NK", "B cell"]},
        jobs=2,
        **CYTOMETRY,
    )
    kept = np.isin(labels, ["NK", "B cell"])
    assert [label for chunk in chunks for label in chunk.obs["label"]] == list(labels[kept])
    assert np.array_equal(sparse.vstack([chunk.X for chunk in chunks]).toarray(), events.X.toarray()[kept])


@pytest.mark.parametrize(("value", "said"), [("", "nan"), ("NA", "nan"), ("inf", "inf"), ("-inf", "-inf")])
def test_no_number_far_from_where_one_looks_first(tmp_path, monkeypatch, value, said):
    monkeypatch.setattr("inspect_dataset.FIRST_SLICE_BYTES", 5000)
    write_events(tmp_path)
    lines = (tmp_path / "blood.csv").read_text().splitlines()
    fields = lines[150].split(",")
    lines[150] = ",".join([*fields[:3], value, *fields[4:]])
    (tmp_path / "blood.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(
        InputError,
        match=rf"blood\.csv: .* not hold intensities: {said} in cell 'event150', channel 'CD56'; val",
    ):
        convert(tmp_path / "blood.csv", tmp_path / "chunks", **CYTOMETRY)


@pytest.mark.filterwarnings("ignore")
def test_real_events_agree(test_data, tmp_path):
    """The same events as FCS and as h5ad, whose channels stand in another order."""
    folder = test_data / "levine32_cytof"
    fcs = convert(
        folder / "Levine_H1.fcs",
        tmp_path / "fcs",
        obs=folder / "Levine_H1_labels.csv",
        obs_by="order",
        label="population",
        **CYTOMETRY,
    )
    h5ad = convert(folder / "ref_H1_dense.h5ad", tmp_path / "h5ad", label="population", **CYTOMETRY)
    from_fcs, from_h5ad = (ad.concat(parts) for parts in (fcs, h5ad))
    assert set(from_fcs.var_names) == set(from_h5ad.var_names)
    assert np.array_equal(from_fcs.X.toarray(), from_h5ad[:, from_fcs.var_names].X.toarray())
    assert list(from_fcs.obs["label"].astype(str)) == list(from_h5ad.obs["label"].astype(str))
    assert fcs[0].var.loc["HLA-DR", "kind"] == "marker"
