"""select_markers: panels of several datasets, and scaling by numpy's quantiles of the training cells."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.features import Features
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.config.settings import MarkerSettings
from cellferry.cytometry.transformation import RANGE, Transformation
from cellferry.errors import InputError
from cellferry.features.marker_selection import marker_selection
from cellferry.features.subset import GeneFiles
from cellferry.resources.budget import Budget
from cellferry.sampling.splits import SPLITS
from scipy import sparse
from select_markers import select_markers
from simulate import PANEL, describe_events, settings_like, simulate_events, write_cells
from subset_common_genes import subset_common_genes

SPELLED = ("141Pr_cd3", "CD19(Nd142)Di", "CD_56", "Comp-PE-A :: CD4", "CD8", "HLADR", "CD45_RA", "CD14")


@pytest.fixture
def select(tmp_path):
    def run(
        datasets,
        *,
        references=("atlas",),
        parts=None,
        looks=None,
        cofactor="auto",
        sketch_cells=10_000,
        mem_mb=1000,
    ):
        merged, inspected = {}, {}
        for name, events in datasets.items():
            merged[name] = str(tmp_path / f"{name}.h5ad")
            write_cells(merged[name], events, name)
            inspected[name] = str(tmp_path / f"{name}.json")
            seen = describe_events(events, name, **(looks or {}).get(name, {}))
            write_artifact(seen, inspected[name])
        n_cells = sum(datasets[name].n_obs for name in references)
        codes = np.zeros(n_cells, dtype=np.int8) if parts is None else np.asarray(parts, dtype=np.int8)
        splits = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(SPLITS))
        pq.write_table(pa.table({"split": splits}), tmp_path / "splits.parquet")
        select_markers(
            merged,
            inspected,
            str(tmp_path / "splits.parquet"),
            genes=str(tmp_path / "genes.tsv"),
            report=str(tmp_path / "genes.json"),
            references=list(references),
            cofactor=cofactor,
            settings=settings_like(MarkerSettings, sketch_cells=sketch_cells),
            seed=0,
            budget=Budget(mem_mb),
        )
        report = json.loads((tmp_path / "genes.json").read_text())
        return pd.read_csv(tmp_path / "genes.tsv", sep="\t"), report

    return run


def loaded(folder):
    """The transformation that was written."""
    return Transformation.from_json(read_artifact(Features, folder / "genes.json").transformation)


def values_of(events, marker, cofactor=5):
    """Transformed values of a marker in float64."""
    return np.arcsinh(events[:, marker].X.toarray().ravel().astype(np.float64) / cofactor)


def test_scaling_is_learned_on_the_training_cells(select, tmp_path):
    atlas, query = simulate_events(600), simulate_events(100, seed=1)
    parts = np.where(np.arange(600) % 5 == 0, 2, 0)
    atlas.X[np.flatnonzero(parts == 2)[:3], 1] = 1e6  # held-out cells have no influence
    genes, report = select({"atlas": atlas, "patients": query}, parts=parts)
    assert list(genes["gene"]) == list(PANEL)
    assert genes["backbone"].all()
    found = loaded(tmp_path)
    assert found.markers == list(PANEL)
    for n, marker in enumerate(PANEL):
        low, high = np.quantile(values_of(atlas, marker)[parts == 0], RANGE)
        assert (found.low[n], found.high[n]) == pytest.approx((low, high), abs=1e-5)
    assert found.cofactors["mass"].tolist() == [5] * 10
    assert report["sketch_cells"] == 480
    assert report["values"]["patients"] == {"values": "raw", "technology": "mass", "why": "simulated"}
    assert report["datasets"]["patients"] == {
        "column": "index",
        "genes": 12,
        "harmonized": 10,
        "duplicates_summed": 0,
        "untranslated": 2,
        "common": 10,
        "common_share": 1,
        "counts_in_selected": None,
        "in_model": 10,
    }


def test_cofactors_by_technology_and_by_marker(select, tmp_path):
    atlas = simulate_events(300, cofactor=150)
    select({"atlas": atlas}, looks={"atlas": {"technology": "fluorescence"}}, cofactor={"cd-19": 20})
    found = loaded(tmp_path)
    expected = [np.quantile(values_of(atlas, m, 20 if m == "CD19" else 150), RANGE) for m in PANEL]
    np.testing.assert_allclose(np.column_stack([found.low, found.high]), expected, atol=1e-5)
    with pytest.raises(InputError, match=r"cytometry\.cofactor: names CD99, not among the markers"):
        select({"atlas": atlas}, cofactor={"CD99": 20})


def test_values_that_are_transformed_are_scaled_as_they_are(select, tmp_path):
    atlas = simulate_events(300)
    atlas.X.data = np.arcsinh(atlas.X.data / 5)
    select({"atlas": atlas}, looks={"atlas": {"values": "transformed"}})
    found = loaded(tmp_path)
    expected = np.quantile(atlas[:, list(PANEL)].X.toarray(), RANGE, axis=0)
    np.testing.assert_allclose([found.low, found.high], expected, atol=1e-5)


def test_references_of_different_panels(select, tmp_path):
    """The backbone has the markers of both; a marker of one is scaled by its measured values alone."""
    first = simulate_events(300, panel=PANEL[:6])
    second = simulate_events(240, panel=PANEL[9:3:-1], seed=1)
    genes, report = select({"atlas": first, "second": second}, references=["atlas", "second"])
    assert list(genes["gene"]) == [*PANEL[:6], *PANEL[9:5:-1]]
    assert list(genes["gene"][genes["backbone"]]) == list(PANEL[4:6])
    assert report["n_common"] == 2
    assert report["n_selected"] == 10
    assert report["datasets"]["second"]["common_share"] == pytest.approx(1 / 3)
    found = loaded(tmp_path)
    for n, marker in enumerate(genes["gene"]):
        values = [values_of(events, marker) for events in (first, second) if marker in events.var_names]
        low, high = np.quantile(np.concatenate(values), RANGE)
        assert (found.low[n], found.high[n]) == pytest.approx((low, high), abs=1e-5)


def test_the_same_markers_spelled_otherwise(select):
    query = simulate_events(100, panel=SPELLED, seed=1)
    genes, report = select({"atlas": simulate_events(), "patients": query})
    assert list(genes["gene"]) == list(PANEL)
    assert list(genes["gene"][genes["backbone"]]) == list(PANEL[:8])
    assert report["datasets"]["patients"]["in_model"] == 8


def test_a_marker_that_the_query_lacks_is_decoded_only(select):
    query = simulate_events(100, panel=(*PANEL[:7], "CD99"), seed=1)
    genes, _ = select({"atlas": simulate_events(), "patients": query})
    assert list(genes["gene"]) == list(PANEL)
    assert list(genes["gene"][genes["backbone"]]) == list(PANEL[:7])


def subset(folder, name):
    subset_common_genes(
        str(folder / f"{name}.h5ad"),
        GeneFiles(str(folder / "genes.tsv"), str(folder / "genes.json")),
        str(folder / "common.h5ad"),
        inspected=str(folder / f"{name}.json"),
        name=name,
        gene_id="auto",
        min_common=0.3,
        labeled_only=False,
        max_cells=None,
        seed=0,
        budget=Budget(700),
    )
    return ad.read_h5ad(folder / "common.h5ad")


def write_query(folder, events, name="patients", **look):
    write_cells(folder / f"{name}.h5ad", events, name)
    write_artifact(describe_events(events, name, **look), folder / f"{name}.json")


def test_a_marker_that_the_query_lacks_is_0_where_the_reference_alone_chose(select, tmp_path):
    """Other spellings, and another order."""
    select({"atlas": simulate_events()})
    query = simulate_events(100, panel=SPELLED[::-1], seed=1)
    write_query(tmp_path, query)
    common = subset(tmp_path, "patients")
    assert list(common.var_names) == list(PANEL)
    assert common.var["backbone"].all()
    assert common.var["measured"].tolist() == [True] * 8 + [False] * 2
    assert common.X.nnz == common.n_obs * common.n_vars
    values = common.X.toarray()
    assert not values[:, 8:].any()
    found = loaded(tmp_path)
    for n in range(8):
        expected = (values_of(query, query.var_names[8 - n]) - found.low[n]) / (found.high[n] - found.low[n])
        np.testing.assert_allclose(values[:, n], np.clip(expected, -1, 2), atol=1e-5)
    assert ad.read_h5ad(tmp_path / "common.h5ad").uns["cellferry"]["values"] == "intensities"


def test_the_memory_changes_nothing(select, tmp_path, monkeypatch):
    select({"atlas": simulate_events()})
    write_query(tmp_path, simulate_events(100, seed=1))
    whole = subset(tmp_path, "patients").X.toarray()
    ranges = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, max_bytes: ranges(self, 3000))
    assert np.array_equal(subset(tmp_path, "patients").X.toarray(), whole)


def test_a_query_with_three_of_the_markers(select, tmp_path):
    few = simulate_events(100, panel=(*PANEL[:2], "CD99", "CD71"), seed=1)
    with pytest.raises(InputError, match=r"only 2 of the references' 10 markers are in all datasets"):
        select({"atlas": simulate_events(), "patients": few})
    select({"atlas": simulate_events()})
    write_query(tmp_path, few)
    with pytest.raises(
        InputError,
        match=r"datasets\.patients: has 2 of the model's 10 input markers.* has CD3, CD19, CD99, CD71: if",
    ):
        subset(tmp_path, "patients")


@pytest.mark.parametrize(
    ("reference", "query", "said"),
    [
        (
            "raw",
            "scaled",
            r"datasets\.patients: has scaled values \(simulated\), and the model was trained on raw ones",
        ),
        ("scaled", "raw", r"has raw values .* on scaled ones .* correct datasets\.patients\.transformed"),
        ("scaled", "transformed", "has transformed values"),
    ],
)
def test_values_of_another_kind_than_the_reference(select, tmp_path, reference, query, said):
    select({"atlas": simulate_events()}, looks={"atlas": {"values": reference}})
    write_query(tmp_path, simulate_events(100), values=query)
    with pytest.raises(InputError, match=said):
        subset(tmp_path, "patients")


def test_a_reference_of_which_nothing_is_trained_on(select, tmp_path, capsys):
    """All its batches may be held out: its own markers are not trained on then."""
    first, second = simulate_events(300, panel=PANEL[:6]), simulate_events(60, panel=PANEL[2:8])
    genes, report = select(
        {"atlas": first, "second": second},
        references=["atlas", "second"],
        parts=[0] * 300 + [2] * 60,
        cofactor={"CD14": 7, "CD3": 3},
    )
    assert list(genes["gene"]) == list(PANEL[:6])
    assert "left out, not measured in any training cell: CD45RA, CD14" in capsys.readouterr().out
    transformation = Transformation.from_json(report["transformation"])
    assert np.isfinite([transformation.low, transformation.high]).all()
    assert transformation.cofactors["mass"].tolist() == [3, 5, 5, 5, 5, 5]
    assert report["n_selected"] == 6
    with H5adReader(tmp_path / "second.h5ad") as reader:
        files = (str(tmp_path / name) for name in ("genes.tsv", "genes.json", "second.json"))
        _, var = marker_selection(reader, *files, name="second")
    assert var["measured"].tolist() == [False, False, True, True, True, True]


def test_a_sketch_is_drawn_of_many_cells(select):
    _, report = select({"atlas": simulate_events(3000)}, sketch_cells=500)
    assert report["sketch_cells"] == 500


def test_a_sketch_that_memory_does_not_hold_is_refused(select):
    with pytest.raises(InputError, match=r"cannot run below \d+; .* or lower genes\.sketch_cells"):
        select({"atlas": simulate_events(20_000)}, mem_mb=406, sketch_cells=20_000)
    empty = simulate_events(20_000)
    empty.X = sparse.csr_matrix(empty.shape, dtype=np.float32)  # counted as if all values were stored
    with pytest.raises(InputError, match=r"cannot run below \d+; .* or lower genes\.sketch_cells"):
        select({"atlas": empty}, mem_mb=406, sketch_cells=20_000)
