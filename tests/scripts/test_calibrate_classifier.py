"""calibrate_classifier: rules fitted to held-out cells, with bounded errors among new cells."""

import json

import numpy as np
import pandas as pd
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.calibration.mixture import prior_weights
from cellferry.config.settings import LimitSettings
from cellferry.errors import InputError
from cellferry.heads.registry import ON_COUNTS
from cellferry.resources.budget import Budget
from mapped import LABELS, train_heads, write_part
from predict_labels import predict_labels
from scipy.stats import beta
from threadpoolctl import threadpool_limits

HEADS = ["xgboost", "linear", "neighbors", *ON_COUNTS]
SPREAD, DEPTH = 2.2, 0.05


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with classifiers trained on cells of donor a, which are close together."""
    folder = tmp_path_factory.mktemp("trained")
    with threadpool_limits(1):
        train_heads(folder, list(range(3)) * 100, spread=SPREAD, depth=DEPTH)
    return folder


def held_out(folder, places, *, batches=("x", "y", "z"), seed=1, **how):
    return write_part(folder, places, batches=batches, spread=SPREAD, depth=DEPTH, seed=seed, **how)


def calibrate(trained, folder, part, *, out="calibration.json", **settings):
    settings = {"max_error": 0.05, "seed": 0, "budget": Budget(2000), "threads": 1} | settings
    calibrate_classifier(
        part.mapped,
        [str(trained / "train/0.parquet")],
        part.common,
        str(trained / "classifier"),
        str(trained / "model"),
        str(trained / "genes.tsv"),
        str(folder / out),
        **settings,
    )
    json.loads(
        (folder / out).read_text(encoding="utf-8"),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    return read_artifact(DecisionModel, folder / out)


def predict(trained, folder, part, rules="calibration.json"):
    predict_labels(
        part.mapped[0],
        part.common,
        str(trained / "classifier"),
        str(folder / rules),
        str(folder / "predictions.parquet"),
        chunk=0,
        chunks=1,
        limits=LimitSettings(min_p=0.0, min_counts=0, min_genes=0),
        budget=Budget(2000),
        threads=1,
    )
    return pd.read_parquet(folder / "predictions.parquet")


@pytest.fixture(scope="module")
def many(trained, tmp_path_factory):
    """Rules fitted to 600 cells of three held-out donors, and their folder."""
    folder = tmp_path_factory.mktemp("many")
    with threadpool_limits(1):
        part = held_out(folder, list(range(3)) * 200)
        return calibrate(trained, folder, part), folder


def test_what_is_written(many):
    rules, _ = many
    assert list(rules.temperatures) == list(rules.weights) == HEADS
    assert sum(rules.weights.values()) == pytest.approx(1)
    assert list(rules.thresholds) == ["lineage", "label"]
    assert list(rules.thresholds["label"]) == LABELS
    assert list(rules.thresholds["lineage"]) == ["B", "T/NK"]
    assert set(rules.made_from) == {"model", "genes", "classifier"}
    assert (rules.held_out.cells, rules.held_out.donors) == (600, 3)
    assert rules.held_out.max_error == 0.05


def test_the_error_among_held_out_cells_is_bounded(many):
    held = many[0].held_out
    assert held.error == pytest.approx(held.wrong / held.accepted)
    assert held.error <= 0.05
    assert held.error < 1 - held.accuracy
    expected = beta.ppf(0.95, held.wrong + 1, held.accepted - held.wrong)
    assert held.error_bound_95 == pytest.approx(expected)


def test_fresh_cells_of_such_donors_get_what_was_promised(many, trained, tmp_path):
    _, folder = many
    fresh = held_out(tmp_path, list(range(3)) * 500, seed=2)
    (tmp_path / "calibration.json").write_bytes((folder / "calibration.json").read_bytes())
    found = predict(trained, tmp_path, fresh)
    right = found["best_label"] == found["truth"]
    accepted = found["reason"].isna()
    assert not right.all()
    assert accepted.mean() > 0.2
    assert (~right[accepted]).mean() < 0.05 + 0.02
    # A probability of .8 is right in four of five cells.
    bins = pd.cut(found["probability"], [0, 0.6, 0.8, 0.9, 1])
    means = pd.DataFrame({"given": found["probability"], "right": right}).groupby(bins, observed=True)
    sizes = means.size() / len(found)
    assert (sizes * (means.mean()["given"] - means.mean()["right"]).abs()).sum() < 0.06
    # The set holds the truth as often as it should.
    inside = [
        truth in found.split(" | ")
        for truth, found in zip(found["truth"], found["prediction_set"], strict=True)
    ]
    assert np.mean(inside) > 0.95 - 0.02
    # Held-out cells and these are drawn equally: p-values are uniform.
    assert np.mean(found["ood_pvalue"] < 0.05) < 0.07


def test_cells_of_donors_that_the_model_knows_move_no_weight(trained, tmp_path):
    part = held_out(tmp_path, list(range(3)) * 100, batches=("a",))
    rules = calibrate(trained, tmp_path, part)
    np.testing.assert_allclose(list(rules.weights.values()), prior_weights(HEADS, intensities=False))
    assert rules.held_out.donors == 0


def test_held_out_donors_move_weights(many):
    assert (
        np.abs(np.array(list(many[0].weights.values())) - prior_weights(HEADS, intensities=False)).max()
        > 0.01
    )


def test_more_allowed_error_means_more_labels(many, trained, tmp_path):
    rules, _ = many
    part = held_out(tmp_path, list(range(3)) * 200)
    accepted = [
        calibrate(trained, tmp_path, part, max_error=error).held_out.accepted for error in (0.01, 0.05, 1)
    ]
    assert accepted[1] == rules.held_out.accepted
    assert accepted[0] < accepted[1] < accepted[2] == 600


def test_blocks_and_chunks_change_nothing(many, trained, tmp_path, monkeypatch):
    part = held_out(tmp_path, list(range(3)) * 200, chunks=4)
    monkeypatch.setattr("cellferry.heads.classifier.ROWS_PER_GROUP", 256)
    found = calibrate(trained, tmp_path, part)
    np.testing.assert_allclose(list(found.weights.values()), list(many[0].weights.values()), atol=1e-6)
    assert found.held_out.accepted == many[0].held_out.accepted


def test_labels_that_are_not_in_training_and_cells_without_any_are_left_out(trained, tmp_path):
    labels = [*LABELS, "Mono", None] * 20
    rules = calibrate(trained, tmp_path, held_out(tmp_path, [0, 1, 2, 3, 3] * 20, labels=labels))
    assert rules.held_out.cells == 60


def test_the_cells_are_capped(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("calibrate_classifier.calibration_cap", lambda **_: 50)
    rules = calibrate(trained, tmp_path, held_out(tmp_path, list(range(3)) * 40))
    assert rules.held_out.cells == 50


@pytest.mark.parametrize("places", [[], [3] * 10], ids=["no cells", "none of a known label"])
def test_without_held_out_cells_the_probability_decides(trained, tmp_path, places):
    rules = calibrate(trained, tmp_path, held_out(tmp_path / "validation", places))
    np.testing.assert_allclose(list(rules.weights.values()), prior_weights(HEADS, intensities=False))
    assert set(rules.temperatures.values()) == {1.0}
    np.testing.assert_allclose(list(rules.thresholds["label"].values()), 0.95)
    assert rules.held_out.error is None
    assert rules.held_out.error_bound_95 == 1.0
    query = held_out(tmp_path / "query", [0, 1, 2])
    assert len(predict(trained, tmp_path, query)) == 3


def test_one_held_out_cell(trained, tmp_path):
    rules = calibrate(trained, tmp_path, held_out(tmp_path, [0]))
    assert rules.held_out.cells == 1
    assert set(rules.set_thresholds.values()) == {0}


def test_the_same_cells_give_the_same_rules(trained, tmp_path):
    part = held_out(tmp_path, list(range(3)) * 30)
    for name in ("first", "again"):
        calibrate(trained, tmp_path, part, out=name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()


def test_counts_of_fewer_cells_are_refused(trained, tmp_path):
    part = held_out(tmp_path / "mapped", [0, 1, 2] * 10)
    other = held_out(tmp_path / "other", [0, 1, 2] * 5)
    part.common = other.common
    with pytest.raises(RuntimeError, match=r"has 15 cells, fewer than were mapped; delete the folder"):
        calibrate(trained, tmp_path, part)
    assert not (tmp_path / "calibration.json").exists()


def test_too_little_memory_is_told_at_once(trained, tmp_path):
    with pytest.raises(InputError, match=r"mem_mb=300 is too low: this job cannot run below \d+"):
        calibrate(trained, tmp_path, held_out(tmp_path, [0, 1, 2]), budget=Budget(300))


def test_marker_values_outweigh_the_latent_space(tmp_path):
    """Default weights without held-out donors; held-out donors change them."""
    train_heads(tmp_path, list(range(3)) * 40, markers=True)
    names = ["xgboost", "linear", "neighbors", "cytovi", "expression", "expression_xgboost"]
    found = {}
    for batches in (("a",), ("x", "y", "z")):
        part = write_part(
            tmp_path / batches[0], list(range(3)) * 100, batches=batches, spread=2.5, markers=True, seed=1
        )
        found[batches[0]] = calibrate(tmp_path, tmp_path, part).weights
    assert list(found["a"]) == names
    assert found["a"] == pytest.approx(dict.fromkeys(names[:4], 1 / 16) | dict.fromkeys(names[4:], 3 / 8))
    assert found["x"]["expression"] + found["x"]["expression_xgboost"] > 0.8


def test_donors_that_differ_are_rehearsed(tmp_path):
    """Donor b is shifted from donor a. Heads trained on both label validation cells of both easily."""
    places = [0, 0.45, 1, 1.45, 2, 1.6] * 60
    labels = [LABELS[code] for code in (0, 0, 1, 1, 2, 2)] * 60
    train_heads(tmp_path, places, labels=labels, batches=("a", "b"), spread=0.4, depth=DEPTH)
    validation = write_part(
        tmp_path / "validation", places, labels=labels, batches=("a", "b"), spread=0.4, depth=DEPTH, seed=1
    )
    rehearsed = calibrate(tmp_path, tmp_path, validation)
    assert rehearsed.held_out.rehearsed
    assert (rehearsed.held_out.donors, rehearsed.held_out.cells) == (2, 360)
    (tmp_path / "classifier" / "rehearsal.npz").unlink()
    known = calibrate(tmp_path, tmp_path, validation)
    assert (known.held_out.rehearsed, known.held_out.donors) == (False, 0)
    # Accuracy on training donors is too high for another donor.
    assert known.held_out.accuracy > rehearsed.held_out.accuracy + 0.02
    newcomer = write_part(
        tmp_path / "newcomer", [0.4, 1.4, 1.6] * 100, labels=[*LABELS] * 100, spread=0.4, depth=DEPTH, seed=2
    )
    errors = {}
    for rules, name in ((rehearsed, "rehearsed"), (known, "known")):
        write_artifact(rules, tmp_path / f"{name}.json")
        found = predict(tmp_path, tmp_path, newcomer, f"{name}.json")
        given = found[found["level"] == "label"]
        errors[name] = (given["label"] != given["truth"]).mean() if len(given) else 0.0
        assert found["probability"].between(0, 1).all()
    assert errors["rehearsed"] <= errors["known"]
    # Distances are those of validation cells, mapped as a query is.
    assert rehearsed.novelty.distance == known.novelty.distance
    assert rehearsed.quality == known.quality
