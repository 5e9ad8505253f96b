"""predict_labels: columns, order, reasons, independent of blocks, chunks and other cells."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.config.settings import LimitSettings
from cellferry.errors import InputError
from cellferry.heads.boosted_trees import XGBoostHead
from cellferry.heads.registry import HEADS
from cellferry.heads.scanvi import ScanviHead
from cellferry.labels.vocabulary import MAPPINGS
from cellferry.resources.budget import Budget
from mapped import LABELS, N_LATENT, TELLTALE, stored, train_heads, values_at, write_expression, write_part
from predict_labels import predict_labels
from simulate import settings_like
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from told import tells_progress

ANSWER = [
    "cell", "label", "level", "reason", "best_label", "probability", "runner_up", "runner_up_probability",
    "prediction_set", "ood_pvalue", "distance", "level_lineage", "level_lineage_probability",
]  # fmt: skip
OF_MARKERS = ("cytovi", "expression_xgboost")
HEADS_OF_RNA = [name for name in HEADS if name not in ("scanvi", *OF_MARKERS)]
HEADS_OF_CYTOMETRY = [name for name in HEADS if name not in ("scanvi", "expression_pca", "expression_ranks")]


def columns(heads):
    return ANSWER + [f"{head}_{what}" for head in heads for what in ("label", "probability")]


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def train(folder, *, markers=False, max_error=0.05, **how):
    """Classifiers of three labels, and rules from held-out cells of two other donors, some of them mixed."""
    trained = train_heads(folder, list(range(3)) * 80, spread=0.5, markers=markers, **how)
    places = list(range(3)) * 60 + [0.5, 1.5] * 40
    labels = [LABELS[int(place + 0.5 * (cell % 3 == 0))] for cell, place in enumerate(places)]
    held_out = write_part(
        folder / "validation", places, labels=labels, batches=("x", "y"), markers=markers, seed=3
    )
    calibrate_classifier(
        held_out.mapped,
        trained.mapped,
        held_out.common,
        str(folder / "classifier"),
        str(folder / "model"),
        str(folder / "genes.tsv"),
        str(folder / "calibration.json"),
        max_error=max_error,
        seed=0,
        budget=Budget(2000),
        threads=1,
    )
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with threadpool_limits(1):
        return train(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def on_markers(tmp_path_factory):
    with threadpool_limits(1):
        return train(tmp_path_factory.mktemp("on_markers"), markers=True)


def predict(trained, part, *, chunk=0, chunks=1, budget=None, decision="calibration.json", **limits):
    """A chunk's predictions."""
    path = trained / "predictions.parquet"
    predict_labels(
        part.mapped[chunk],
        part.common,
        str(trained / "classifier"),
        str(trained / decision),
        str(path),
        chunk=chunk,
        chunks=chunks,
        limits=settings_like(LimitSettings, **{"min_counts": 10, "min_genes": 5} | limits),
        budget=budget or Budget(2000),
        threads=1,
    )
    return pd.read_parquet(path)


def query(tmp_path, places, **how):
    return write_part(tmp_path / "query", places, **{"spread": 0.3, "seed": 5} | how)


def test_cells_in_a_blob_get_its_label_in_the_order_they_came(trained, tmp_path):
    places = np.random.default_rng(1).integers(0, 3, 200).tolist()
    found = predict(trained, query(tmp_path, places, labels=[None] * 200))
    assert list(found.columns) == columns(HEADS_OF_RNA)
    assert found["cell"].tolist() == [f"cell{row}" for row in range(200)]
    expected = [LABELS[place] for place in places]
    for column in ("best_label", *(f"{head}_label" for head in HEADS_OF_RNA)):
        assert np.mean(found[column] == expected) > 0.97, column
    given = found["reason"].isna()
    assert given.mean() > 0.95
    assert (found["label"][given] == found["best_label"][given]).all()
    assert (found["level"][given] == "label").all()
    assert (found["runner_up"] != found["best_label"]).all()
    assert (
        found["level_lineage"].tolist() == found["best_label"].map({LABELS[0]: "B"}).fillna("T/NK").tolist()
    )
    assert (found["level_lineage_probability"] >= found["probability"] - 1e-6).all()


def test_text_is_text_and_numbers_are_float32(trained, tmp_path):
    predict(trained, query(tmp_path, [0, 1, 2], labels=[None] * 3))
    types = {field.name: str(field.type) for field in pq.read_schema(trained / "predictions.parquet")}
    numbers = [name for name, kind in types.items() if kind == "float"]
    assert set(types.values()) == {"string", "float"}
    assert numbers == [
        name for name in types if name.endswith("probability") or name in ("ood_pvalue", "distance")
    ]


def test_what_it_was_made_from_stands_in_the_file(trained, tmp_path):
    made_from = []
    for min_p in (0.005, 0.01):
        predict(trained, query(tmp_path, [0]), min_p=min_p)
        metadata = pq.read_schema(trained / "predictions.parquet").metadata
        made_from.append(json.loads(metadata[b"made_from"]))
    assert set(made_from[0]) == {"model", "genes", "classifier", "decision", "settings"}
    assert {name for name in made_from[0] if made_from[0][name] != made_from[1][name]} == {"settings"}


def test_a_cell_that_is_far_from_the_reference_is_outside_however_sure_the_heads(trained, tmp_path):
    part = query(tmp_path, [0, 1, 2, 4, 4], spread=0.1)
    limited, free = predict(trained, part), predict(trained, part, min_p=0)
    assert (limited["reason"] == "out of reference").tolist() == [False] * 3 + [True] * 2
    assert (limited["label"][3:] == "unknown").all()
    assert limited["level"][3:].isna().all()
    assert (limited["ood_pvalue"] < 0.005).tolist() == [False] * 3 + [True] * 2
    assert (limited["distance"] > 1).tolist() == [False] * 3 + [True] * 2
    assert not (free["reason"] == "out of reference").any()
    pd.testing.assert_series_equal(limited["best_label"], free["best_label"])


def test_a_cell_between_two_labels_is_called_what_both_are(trained, tmp_path):
    found = predict(trained, query(tmp_path, [0.5] * 10 + [1.5] * 10, spread=0.02), min_p=0)
    ambiguous = found["reason"] == "ambiguous"
    assert ambiguous.any()
    assert (found["label"][ambiguous] == "unknown").all()
    assert (found["level"][ambiguous].isna()).all()
    # NK and γδ T are of one lineage.
    coarser = found["reason"][10:] == "subtype unsure"
    assert coarser.any()
    assert (found["label"][10:][coarser] == "T/NK").all()
    assert (found["level"][10:][coarser] == "lineage").all()


def test_cells_of_few_counts_or_genes_are_of_low_quality(trained, tmp_path):
    part = query(tmp_path, [0, 1, 2] * 10, depth=0.2)
    n_counts = predict(trained, part, min_counts=0, min_genes=0)["reason"]
    assert "low quality" not in set(n_counts)
    for limits in ({"min_counts": 1000}, {"min_genes": 41}):
        found = predict(trained, part, **limits)
        assert set(found["reason"]) == {"low quality"}
        assert set(found["label"]) == {"unknown"}
    some = predict(trained, part, min_counts=8, min_genes=0)["reason"] == "low quality"
    assert 0 < some.sum() < 30


def test_by_default_cells_as_shallow_as_held_out_ones_get_labels(trained, tmp_path):
    """The reference's own cells have fewer counts than the upper bound of automatic limits."""
    part = query(tmp_path, [0, 1, 2] * 100)
    automatic = predict(trained, part, min_counts="auto", min_genes="auto")["reason"] == "low quality"
    absolute = predict(trained, part, min_counts=50, min_genes=20)["reason"] == "low quality"
    assert automatic.mean() < 0.03
    assert absolute.mean() > 0.5
    shallow = query(tmp_path, [0, 1, 2] * 100, depth=0.1)
    limits = {"min_counts": "auto", "min_genes": "auto"}
    assert (predict(trained, shallow, **limits)["reason"] == "low quality").mean() > 0.5


def test_probabilities_of_a_cell_do_not_depend_on_the_cells_beside_it(trained, tmp_path):
    """A query of a single cell type gets the same labels."""
    places = [0, 1, 2] * 30
    whole = predict(trained, query(tmp_path / "mixed", places, spread=1.5))
    part = query(tmp_path / "mixed", places, spread=1.5, chunks=90)
    alone = pd.concat(
        [predict(trained, part, chunk=chunk, chunks=90) for chunk in range(0, 90, 3)], ignore_index=True
    )
    expected = whole[::3].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunks", [2, 7])
def test_chunks_do_not_change_the_answer(trained, tmp_path, chunks):
    places = np.random.default_rng(0).uniform(0, 2, 700).tolist()
    whole = predict(trained, query(tmp_path / "whole", places, spread=1.0))
    part = query(tmp_path / "cut", places, spread=1.0, chunks=chunks)
    pieces = [predict(trained, part, chunk=chunk, chunks=chunks) for chunk in range(chunks)]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole, rtol=0, atol=1e-6)


def test_blocks_do_not_change_the_answer(trained, tmp_path, monkeypatch):
    part = query(tmp_path, np.random.default_rng(0).uniform(0, 2, 700).tolist(), spread=1.0)
    whole = predict(trained, part)
    assert len(set(whole["reason"])) > 2
    monkeypatch.setattr("cellferry.heads.classifier.ROWS_PER_GROUP", 256)
    pd.testing.assert_frame_equal(predict(trained, part), whole, rtol=0, atol=1e-6)


def test_the_log_tells_how_far_it_is(trained, tmp_path, monkeypatch, capsys):
    part = query(tmp_path, list(range(3)) * 20)
    monkeypatch.setattr("cellferry.heads.classifier.Classifier.rows_in", lambda *_: 7)
    predict(trained, part)
    assert tells_progress(capsys.readouterr().out, "classified")


def test_truth_is_carried_where_there_is_any(trained, tmp_path):
    found = predict(trained, query(tmp_path, [0, 1, 2], labels=[LABELS[0], None, "HSC/MPP, γ"]))
    assert list(found.columns) == [*columns(HEADS_OF_RNA), "truth"]
    assert found["truth"].fillna("none").tolist() == [LABELS[0], "none", "HSC/MPP, γ"]


@pytest.mark.parametrize("n_cells", [0, 1])
def test_a_chunk_of_no_or_one_cell(trained, tmp_path, n_cells):
    found = predict(trained, query(tmp_path, [0, 1][:n_cells], labels=[None] * n_cells, spread=0.1))
    assert list(found.columns) == columns(HEADS_OF_RNA)
    assert found["best_label"].tolist() == LABELS[:n_cells]
    types = {str(field.type) for field in pq.read_schema(trained / "predictions.parquet")}
    assert types == {"string", "float"}


def test_cells_without_counts(trained, tmp_path):
    found = predict(trained, query(tmp_path, [0, 1, 2], depth=0))
    assert set(found["reason"]) == {"low quality"}
    assert np.isfinite(found["probability"]).all()


@pytest.mark.parametrize("heads", [("linear",), ("expression",), ("neighbors", "expression"), tuple(HEADS)])
def test_heads_that_are_switched_off_have_no_columns(tmp_path, heads):
    trained = train(tmp_path / "trained", heads=heads)
    found = predict(trained, query(tmp_path, [0, 1, 2], labels=[None] * 3, spread=0.1))
    assert list(found.columns) == columns([head for head in heads if head in HEADS_OF_RNA])
    assert found["best_label"].tolist() == LABELS
    assert found["distance"].notna().all()


def test_scanvis_classifier_has_columns_where_there_is_one(tmp_path):
    corners = np.eye(N_LATENT)[:3] * 2
    head = ScanviHead(np.array(LABELS), False, weight_0=corners, bias_0=np.zeros(3))
    trained = train(tmp_path / "trained", model=head)
    found = predict(trained, query(tmp_path, [0, 1, 2], labels=[None] * 3, spread=0.1))
    assert list(found.columns) == columns([head for head in HEADS if head not in OF_MARKERS])
    assert found["scanvi_label"].tolist() == LABELS


def test_ontology_ids_stand_beside_the_answers(tmp_path):
    trained = train(tmp_path / "trained", ontology={LABELS[0]: "CL:0000788", "T/NK": "CL:0000000"})
    found = predict(trained, query(tmp_path, [0, 1, 2, 4], spread=0.1))
    assert found["ontology"].fillna("none").tolist() == ["CL:0000788", "none", "none", "none"]


def test_without_levels_there_are_no_columns_of_them(tmp_path):
    trained = train(tmp_path / "trained", levels={})
    found = predict(trained, query(tmp_path, [0, 1, 2]))
    assert not [name for name in found if name.startswith("level_")]


def test_counts_of_fewer_cells_than_were_mapped_are_refused(trained, tmp_path):
    part, other = query(tmp_path / "one", [0, 1, 2]), query(tmp_path / "other", [0, 1])
    part.common = other.common
    with pytest.raises(RuntimeError, match="has 2 cells, fewer than were mapped"):
        predict(trained, part)


def test_too_little_memory_is_told_at_once(trained, tmp_path):
    with pytest.raises(InputError, match=r"mem_mb=300 is too low: this job cannot run below \d+"):
        predict(trained, query(tmp_path, [0]), budget=Budget(300))


def test_marker_values_have_heads_of_their_own(on_markers, tmp_path):
    places = np.random.default_rng(1).integers(0, 3, 200).tolist()
    found = predict(on_markers, query(tmp_path, places, labels=[None] * 200, markers=True))
    assert list(found.columns) == columns(HEADS_OF_CYTOMETRY)
    expected = [LABELS[place] for place in places]
    for column in ("best_label", *(f"{head}_label" for head in HEADS_OF_CYTOMETRY)):
        assert np.mean(found[column] == expected) > 0.97, column


def test_cytovis_columns_are_the_label_of_most_of_twenty_neighbors_and_its_share(on_markers, tmp_path):
    """The number of neighbors that vote with weights has no influence."""
    part = query(tmp_path, [0, 1, 2] * 30, spread=2.5, markers=True)
    found = predict(on_markers, part)
    cells = pd.read_parquet(on_markers / "classifier" / "neighbors.parquet")
    reference = cells.filter(like="latent_").to_numpy()
    latents = pd.read_parquet(part.mapped[0]).filter(like="latent_").to_numpy()
    nearest = NearestNeighbors(n_neighbors=20, algorithm="brute").fit(reference).kneighbors(latents)[1]
    shares = np.stack([(cells["code"].to_numpy()[nearest] == code).mean(axis=1) for code in range(3)], axis=1)
    assert found["cytovi_label"].tolist() == [LABELS[code] for code in shares.argmax(axis=1)]
    np.testing.assert_allclose(found["cytovi_probability"], shares.max(axis=1), atol=1e-6)
    assert shares.max(axis=1).min() < 0.7


def test_nothing_of_marker_values_is_of_low_quality(on_markers, tmp_path):
    part = query(tmp_path, [0, 1, 2] * 10, markers=True)
    found = predict(on_markers, part, min_counts=10**6, min_genes=41)
    assert "low quality" not in set(found["reason"])
    pd.testing.assert_frame_equal(found, predict(on_markers, part, min_counts=0, min_genes=0))


def test_a_marker_beyond_the_backbone_changes_no_answer(on_markers, tmp_path):
    part = query(tmp_path, [0, 1, 2] * 10, markers=True)
    expected = predict(on_markers, part)
    values = values_at([0, 1, 2] * 10, seed=5).toarray()
    values[:, TELLTALE] = 0
    write_expression(Path(part.common), stored(values), markers=True)
    pd.testing.assert_frame_equal(predict(on_markers, part), expected)


def test_chunks_and_blocks_of_marker_values_do_not_change_the_answer(on_markers, tmp_path, monkeypatch):
    places = np.random.default_rng(0).uniform(0, 2, 700).tolist()
    whole = predict(on_markers, query(tmp_path / "whole", places, spread=1.0, markers=True))
    part = query(tmp_path / "cut", places, spread=1.0, chunks=7, markers=True)
    pieces = [predict(on_markers, part, chunk=chunk, chunks=7) for chunk in range(7)]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole, rtol=0, atol=1e-6)
    monkeypatch.setattr("cellferry.heads.classifier.ROWS_PER_GROUP", 256)
    part = query(tmp_path / "again", places, spread=1.0, markers=True)
    pd.testing.assert_frame_equal(predict(on_markers, part), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_cells", [0, 1])
def test_marker_values_of_no_or_one_cell(on_markers, tmp_path, n_cells):
    part = query(tmp_path, [0, 1][:n_cells], labels=[None] * n_cells, spread=0.1, markers=True)
    found = predict(on_markers, part)
    assert list(found.columns) == columns(HEADS_OF_CYTOMETRY)
    assert found["best_label"].tolist() == LABELS[:n_cells]


@pytest.mark.parametrize("heads", [("cytovi",), ("neighbors", "cytovi"), ("expression_xgboost",)])
def test_heads_of_marker_values_vote_alone_too(tmp_path, heads):
    trained = train(tmp_path / "trained", heads=heads, markers=True)
    found = predict(trained, query(tmp_path, [0, 1, 2], labels=[None] * 3, spread=0.1, markers=True))
    assert list(found.columns) == columns(heads)
    assert found["best_label"].tolist() == LABELS
    assert found["distance"].notna().all()


def test_trees_are_counted_as_held(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(XGBoostHead, "held_bytes", 2000 * 2**20)
    with pytest.raises(InputError, match=r"mem_mb=2000 is too low: this job cannot run below \d+"):
        predict(trained, query(tmp_path, [0]))


def test_both_mappings_of_a_query_vote(trained, tmp_path):
    """Heads on latents give the mean of both; each mapping's own answer has its own columns."""
    places = [0, 1, 2] * 40
    agreed = predict(trained, query(tmp_path / "once", places))
    twice = predict(trained, query(tmp_path / "twice", places, unfitted=places))
    both = [f"{mapping}_{what}" for mapping in MAPPINGS for what in ("label", "probability")]
    pd.testing.assert_frame_equal(twice.drop(columns=both), agreed)
    assert (twice["fitted_label"] == twice["unfitted_label"]).all()

    elsewhere = [1 if place == 0 else place for place in places]
    moved = predict(trained, query(tmp_path / "moved", places, unfitted=elsewhere), min_p=0)
    first = np.array(places) == 0
    assert set(moved.loc[first, "fitted_label"]) == {LABELS[0]}
    assert set(moved.loc[first, "unfitted_label"]) == {LABELS[1]}
    alone = predict(trained, query(tmp_path / "alone", elsewhere), min_p=0)
    assert (moved.loc[~first, "fitted_label"] == moved.loc[~first, "unfitted_label"]).all()
    # The heads on counts decide where the mappings contradict each other.
    assert (moved.loc[first, "best_label"] == LABELS[0]).mean() > 0.9
    assert (moved.loc[first, "probability"] < agreed.loc[first, "probability"]).all()
    # A cell is out of reference only by both mappings.
    assert (moved["distance"] <= np.minimum(agreed["distance"], alone["distance"]) + 1e-6).all()


def test_heads_on_expression_alone_have_no_mappings(tmp_path):
    folder = train(tmp_path / "trained", heads=("expression",))
    found = predict(folder, query(tmp_path, [0, 1, 2], unfitted=[1, 1, 1]))
    assert "fitted_label" not in found
    assert found["best_label"].tolist() == LABELS


@pytest.mark.parametrize("chunks", [3, 40])
def test_two_mappings_are_the_same_in_chunks(trained, tmp_path, chunks):
    places, elsewhere = [0, 1, 2, 0.5] * 10, [1, 1, 2, 2] * 10
    whole = predict(trained, query(tmp_path / "whole", places, unfitted=elsewhere))
    part = query(tmp_path / "cut", places, unfitted=elsewhere, chunks=chunks)
    pieces = [predict(trained, part, chunk=chunk, chunks=chunks) for chunk in range(chunks)]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole, rtol=0, atol=1e-6)
