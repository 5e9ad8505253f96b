"""leave_labels_out: the answers to held-out cells of a label that the reference lacks."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.artifacts.evaluation import Separation
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.left_out import LeftOut, LeftOutLabel
from cellferry.config.settings import LimitSettings
from cellferry.errors import InputError
from cellferry.heads.classifier import Classifier
from cellferry.resources.budget import Budget
from leave_labels_out import leave_labels_out, outcome
from mapped import LABELS, latents_at, train_heads, values_at, write_part
from predict_labels import predict_labels
from simulate import settings_like
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Classifiers of three labels far apart, and rules from held-out cells of two other donors."""
    folder = tmp_path_factory.mktemp("trained")
    with threadpool_limits(1):
        train = train_heads(folder, list(range(3)) * 80, spread=0.4)
        calibrate(folder, train, list(range(3)) * 60, spread=0.4)
    return folder


def calibrate(folder, train, places, **how):
    """Rules from held-out cells of two other donors, beside the classifiers."""
    validation = write_part(folder / "validation", places, batches=("x", "y"), seed=3, **how)
    calibrate_classifier(
        validation.mapped,
        train.mapped,
        validation.common,
        str(folder / "classifier"),
        str(folder / "model"),
        str(folder / "genes.tsv"),
        str(folder / "calibration.json"),
        max_error=0.05,
        seed=0,
        budget=Budget(2000),
        threads=1,
    )


def leave_out(trained, part, *, mem_mb=2000, **limits):
    path = trained / "left_out.json"
    leave_labels_out(
        part.mapped,
        part.common,
        str(trained / "classifier"),
        str(trained / "calibration.json"),
        str(path),
        seed=0,
        limits=settings_like(LimitSettings, **{"min_counts": 10, "min_genes": 5} | limits),
        budget=Budget(mem_mb),
        threads=1,
    )
    return read_artifact(LeftOut, path).labels


def held_out(folder, places, **how):
    return write_part(folder, places, **{"spread": 0.4, "seed": 4} | how)


def test_labels_far_apart_are_seen_to_be_missing(trained, tmp_path):
    found = leave_out(trained, held_out(tmp_path, list(range(3)) * 40))
    assert list(found) == LABELS
    for label, told in found.items():
        assert told.cells == 40
        assert told.accepted == sum(told.accepted_as.values())
        assert told.accepted + told.coarser < 8, label
        assert told.auroc.ood_pvalue > 0.95, label
        assert told.auroc.distance > 0.95, label


def test_without_limits_they_are_taken_for_others_or_for_their_lineage(trained, tmp_path):
    part = held_out(tmp_path, list(range(3)) * 40)
    found = leave_out(trained, part, min_p=0.0)
    assert LABELS[0] not in found[LABELS[0]].accepted_as
    # γδ T without γδ T: only NK/ILC is left of its lineage, which is a wrong answer.
    assert found[LABELS[2]].accepted > leave_out(trained, part)[LABELS[2]].accepted
    assert set(found[LABELS[2]].accepted_as) <= {LABELS[0], LABELS[1], "B"}


def test_a_label_beside_another_is_taken_for_it_as_by_classifiers_trained_without_it(tmp_path):
    """Compared with classifiers and rules that were trained without the label's cells."""
    near = {0: 0, 1: 1, 2: 1.51}  # the third label's cells lie beside the second's
    for name, codes in (("all", [0, 1, 2]), ("without", [0, 1])):
        (tmp_path / name).mkdir()
        places = [near[code] for code in codes] * 100
        train = train_heads(tmp_path / name, places, levels={}, spread=1.5)
        calibrate(tmp_path / name, train, places, spread=1.5)
    cells = held_out(tmp_path / "test", list(near.values()) * 80, spread=1.5)
    found = leave_out(tmp_path / "all", cells)[LABELS[2]]
    assert found.accepted > 0.5 * found.cells
    assert found.accepted_as[LABELS[1]] > 0.9 * found.accepted

    predict_labels(
        cells.mapped[0],
        cells.common,
        str(tmp_path / "without" / "classifier"),
        str(tmp_path / "without" / "calibration.json"),
        str(tmp_path / "predictions.parquet"),
        chunk=0,
        chunks=1,
        limits=settings_like(LimitSettings, min_counts=10, min_genes=5),
        budget=Budget(2000),
        threads=1,
    )
    predicted = pd.read_parquet(tmp_path / "predictions.parquet")
    told = predicted.loc[predicted["truth"] == LABELS[2], "label"].value_counts()
    assert found.accepted_as[LABELS[1]] == pytest.approx(told[LABELS[1]], abs=0.15 * found.cells)


def test_labels_without_held_out_cells_and_cells_without_label_are_left_out(trained, tmp_path):
    labels = [LABELS[0], LABELS[1], None, "Mono"] * 10
    found = leave_out(trained, held_out(tmp_path, [0, 1, 2, 3] * 10, labels=labels))
    assert {label: told.cells for label, told in found.items()} == {LABELS[0]: 10, LABELS[1]: 10}


def test_of_two_labels_none_can_be_left_out(tmp_path):
    train = train_heads(tmp_path, [0, 1] * 60, spread=0.4)
    calibrate(tmp_path, train, [0, 1] * 60, spread=0.4)
    assert leave_out(tmp_path, held_out(tmp_path / "test", [0, 1] * 10)) == {}


def test_chunks_and_blocks_change_nothing(trained, tmp_path, monkeypatch):
    whole = leave_out(trained, held_out(tmp_path / "whole", list(range(3)) * 120))
    monkeypatch.setattr("cellferry.heads.classifier.ROWS_PER_GROUP", 256)
    cut = leave_out(trained, held_out(tmp_path / "cut", list(range(3)) * 120, chunks=3))
    for label, told in whole.items():
        assert cut[label].accepted_as == told.accepted_as
        assert asdict(cut[label].auroc) == pytest.approx(asdict(told.auroc), abs=1e-4)


def test_a_reference_without_counts(tmp_path):
    """Training, calibration and this rule use latents alone, as they do without heads on expression."""
    found = {}
    for counts in (True, False):
        folder = tmp_path / str(counts)
        heads = ("xgboost", "linear", "neighbors") + (() if counts else ("expression",))
        train = train_heads(folder, list(range(3)) * 80, spread=0.4, heads=heads, counts=counts)
        validation = held_out(folder / "validation", list(range(3)) * 60, batches=("x", "y"), seed=3)
        part = held_out(folder / "test", list(range(3)) * 40)
        if not counts:
            validation.common = part.common = None
        calibrate_classifier(
            validation.mapped,
            train.mapped,
            validation.common,
            str(folder / "classifier"),
            str(folder / "model"),
            str(folder / "genes.tsv"),
            str(folder / "calibration.json"),
            max_error=0.05,
            seed=0,
            budget=Budget(2000),
            threads=1,
        )
        found[counts] = leave_out(folder, part, min_counts=0, min_genes=0)
    assert set(found[True]) == set(LABELS)
    assert found[False] == found[True]


def test_outcomes_are_counted():
    told = {
        "label": np.array(["a", "T", "unknown", "T", "b", "a"], dtype=object),
        "level": np.array(["label", "lineage", None, "label", "label", "label"], dtype=object),
    }
    own = np.array([True] * 4 + [False] * 2)
    distance = np.array([3.0, 1, 4, 1.5, 2, 1])
    scores = {"ood_pvalue": -distance, "distance": distance, "probability": np.zeros(6)}
    found = outcome(told, own, {"lineage": "T"}, scores)
    area = roc_auc_score(own, distance)
    assert found == LeftOutLabel(
        cells=4,
        accepted=2,  # as a, and as a label called like the lineage
        auroc=Separation(1 - area, area, 0.5),
        accepted_as={"a": 1, "T": 1},
        coarser=1,
    )


def test_too_little_memory_is_told_at_once(trained, tmp_path):
    with pytest.raises(InputError, match=r"mem_mb=300 is too low: this job cannot run below \d+"):
        leave_out(trained, held_out(tmp_path, [0, 1, 2]), mem_mb=300)


def test_marker_values_are_never_of_low_quality(tmp_path):
    """cytovi's vote, too, is computed again without the label's cells, as the neighbors' is."""
    train = train_heads(tmp_path, list(range(3)) * 80, spread=0.4, markers=True)
    calibrate(tmp_path, train, list(range(3)) * 60, spread=0.4, markers=True)
    part = held_out(tmp_path / "test", list(range(3)) * 40, markers=True)
    found = leave_out(tmp_path, part, min_p=0.0, min_counts=10**6, min_genes=41)
    assert found == leave_out(tmp_path, part, min_p=0.0, min_counts=0, min_genes=0)
    # All would be `unknown`, and none accepted.
    assert found[LABELS[2]].accepted > 0


@pytest.mark.parametrize("code", [0, 1, 2])
def test_cytovis_vote_without_a_label_is_that_of_the_other_labels_cells(tmp_path, code):
    train_heads(tmp_path, list(range(3)) * 80, spread=2.0, markers=True)
    heads = Classifier(tmp_path / "classifier", threads=1)
    latents = latents_at(list(range(3)) * 20, spread=2.0, seed=4)
    by_head = heads.predict_block([latents], values_at(list(range(3)) * 20), intensities=True).by_head
    found = heads.drop_label(code, by_head, [latents]).by_head
    cells = pd.read_parquet(tmp_path / "classifier" / "neighbors.parquet")
    reference, codes = cells.filter(like="latent_").to_numpy(), cells["code"].to_numpy()
    kept = codes != code
    nearest = NearestNeighbors(n_neighbors=20, algorithm="brute").fit(reference[kept]).kneighbors(latents)[1]
    labels = codes[kept][nearest]
    expected = np.stack([(labels == other).mean(axis=1) for other in range(3) if other != code], axis=1)
    np.testing.assert_allclose(found["cytovi"], expected, atol=1e-6)


def test_of_very_many_labels_some_are_taken_out(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("leave_labels_out.MAX_LEFT_OUT", 2)
    found = leave_out(trained, held_out(tmp_path, list(range(3)) * 20))
    assert len(found) == 2
    assert all(entry.cells == 20 for entry in found.values())
    assert "2 of 3 labels are taken out, drawn at random" in capsys.readouterr().out
