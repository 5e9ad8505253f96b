"""evaluate with levels of labels: coarser truths, coarser answers, and labels too rare to predict."""

import numpy as np
import pandas as pd
import pytest
from evaluated import COARSE, FOREIGN, KNOWN, RARE, as_predictions, run, write_common, write_labels
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    roc_auc_score,
)
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


FAMILY = {"B": "B lineage", "NK": "lymphocyte", "T": "lymphocyte", RARE: "lymphocyte"}


@pytest.fixture
def layered(tmp_path):
    """Two levels; a query with truths of both, of a rare label and a foreign one; some answers backed off."""
    rng = np.random.default_rng(2)
    write_labels(tmp_path, levels={"family": FAMILY})
    write_common(tmp_path / "reference.h5ad", np.array(KNOWN * 20, dtype=object), rng)
    truth = rng.choice([*KNOWN, COARSE, RARE, FOREIGN], 300).astype(object)
    best = np.where(rng.random(300) < 0.6, truth, rng.choice(KNOWN, 300))
    best = np.where(np.isin(best, KNOWN), best, "T").astype(object)
    frame = pd.DataFrame({"cell": write_common(tmp_path / "query.h5ad", truth, rng), "best_label": best})
    frame["level_family"] = [FAMILY[label] for label in best]
    frame["level_family"] = np.where(rng.random(300) < 0.1, "B lineage", frame["level_family"])
    frame["probability"] = rng.random(300).astype(np.float32)
    frame["level_family_probability"] = (1 + frame["probability"]) / 2
    frame["level"] = rng.choice(["label", "family", None], 300, p=[0.6, 0.3, 0.1])
    frame["label"] = frame["best_label"].where(frame["level"] == "label", frame["level_family"])
    frame["label"] = frame["label"].where(frame["level"].notna(), "unknown")
    reason = {"label": None, "family": "subtype unsure"}
    frame["reason"] = [reason.get(level, "out of reference") for level in frame["level"]]
    frame["truth"] = truth
    frame = as_predictions(frame)
    frame.to_parquet(tmp_path / "query.parquet")
    return frame, tmp_path


def test_levels_are_scored_where_the_truth_says_something(layered):
    frame, folder = layered
    found = run(folder)
    kinds = [COARSE, RARE, FOREIGN]
    counts = ["truth_at_a_coarser_level", "truth_not_predictable", "truth_not_in_reference"]
    assert [getattr(found, key) for key in counts] == [(frame["truth"] == kind).sum() for kind in kinds]
    assert list(found.levels) == ["label", "family"]
    leaf, family = (found.levels[level].heads for level in ("label", "family"))

    known = frame[frame["truth"].isin(KNOWN)]
    answer = known["label"].where(known["level"] == "label", "unknown")
    assert found.levels["label"].cells == len(known)
    assert leaf["answer"].accuracy == pytest.approx(accuracy_score(known["truth"], answer))
    assert leaf["answer"].accuracy == found.answered.accuracy

    inside = frame[frame["truth"] != FOREIGN]
    truth = inside["truth"].map(FAMILY | {COARSE: COARSE})
    answer = inside["label"].where(inside["level"] == "family", inside["best_label"].map(FAMILY))
    columns = {
        "answer": answer.where(inside["level"].notna(), "unknown"),
        "forced": inside["level_family"],
        "linear": inside["linear_label"].map(FAMILY),
    }
    assert found.levels["family"].cells == len(inside)
    for head, values in columns.items():
        assert family[head].accuracy == pytest.approx(accuracy_score(truth, values))
        expected = f1_score(truth, values, labels=["B lineage", "lymphocyte"], average="macro")
        assert family[head].macro_f1 == pytest.approx(expected)
    assert family["linear"].ece is None
    assert 0 < family["answer"].ece < 1


def test_rejection_by_reason_and_errors_at_the_level_of_the_answer(layered):
    frame, folder = layered
    found = run(folder).rejection
    assert found.reasons == frame["reason"].value_counts().to_dict()
    assert found.unknown == frame["level"].isna().sum()
    assert found.coarser == (frame["level"] == "family").sum()
    assert found.accepted_share == pytest.approx(frame["level"].notna().mean())

    accepted = frame[frame["level"].notna()]
    family = accepted["truth"].map(FAMILY | {COARSE: COARSE})
    of_answer = accepted["label"].where(accepted["level"] == "family", accepted["label"].map(FAMILY))
    by_family = (accepted["level"] == "family") | (accepted["truth"] == COARSE)
    right = (accepted["truth"] == accepted["label"]).where(~by_family, family == of_answer)
    known = accepted["truth"].isin([*KNOWN, COARSE])
    assert found.all_truth.error_among_accepted == pytest.approx(1 - right.mean())
    assert found.known_truth.error_among_accepted == pytest.approx(1 - right[known].mean())
    assert found.known_truth.accepted == known.sum()
    leaf = accepted["truth"].isin(KNOWN)
    assert found.leaf_truth.accuracy_among_accepted == pytest.approx(right[leaf].mean())


def test_cells_of_a_rare_label_stand_apart_from_foreign_ones(layered):
    frame, folder = layered
    found = run(folder)
    rare = frame[frame["truth"] == RARE]
    assert list(found.labels_not_in_reference) == [FOREIGN]
    entry = found.labels_not_predictable[RARE]
    assert entry.cells == len(rare)
    assert entry.accepted == rare["level"].notna().sum()
    others = frame[frame["truth"].isin([*KNOWN, COARSE])]
    both = pd.concat([rare, others])
    expected = roc_auc_score(both["truth"] == RARE, -both["probability"])
    assert entry.auroc.probability == pytest.approx(expected)
