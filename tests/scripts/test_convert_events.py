"""convert_to_chunks with cytometry: tables without names of events, labels by order, real events."""

import anndata as ad
import numpy as np
import pytest
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from chunked import convert
from scipy import sparse
from simulate import simulate_events

pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique")
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
    """Lines count all events, including those that are filtered out."""
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
    monkeypatch.setattr("cellferry.datasets.count_inspection.FIRST_SLICE_BYTES", 5000)
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
    """The same events as FCS and as h5ad, with channels in another order."""
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
