"""The answer to a cell: a label at some level, or the reason for its absence."""

import json

import numpy as np
import pytest
from cellferry.artifacts.decision import DecisionModel, Novelty
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.calibration.decision import (
    AMBIGUOUS,
    LOW_QUALITY,
    OUT_OF_REFERENCE,
    RARE_LABEL,
    SUBTYPE_UNSURE,
    calibrated_probabilities,
    decide,
)
from cellferry.calibration.mixture import combined, tempered
from cellferry.calibration.novelty import fit_tail
from cellferry.calibration.thresholds import NEVER
from cellferry.heads.rare_labels import RareLikeness
from cellferry.labels.best_path import node_codes
from cellferry.labels.vocabulary import LEAF_LEVEL
from example_artifacts import decision_of, hierarchy_of
from simulate import simulate_probabilities

LEAVES = ["B", "CD4 T", "CD8+, T", "γδ T/NKT"]
LINEAGE = {"lineage": dict(zip(LEAVES, ["B cell", "T", "T", "T"], strict=True))}
BOTH = {"compartment": dict.fromkeys(LEAVES, "lymphoid")} | LINEAGE


def rules(thresholds=None, **changed):
    """Rules that mix two heads evenly and require .7 everywhere."""
    hierarchy = hierarchy_of(LEAVES, BOTH)
    least = {level: dict.fromkeys(node_codes(hierarchy, level)[0], 0.7) for level in hierarchy.names}
    for name, nodes in (thresholds or {}).items():
        least[name] |= nodes
    return decision_of(least, **changed)


def with_sets(least):
    return rules(set_thresholds=dict.fromkeys(LEAVES, least))


MAST, TREG = "mast", "Treg"
ABOVE_RARE = {"compartment": {MAST: "myeloid", TREG: "lymphoid"}, "lineage": {MAST: "mast", TREG: "T"}}


def ask(probabilities, *, levels=None, ood_pvalue=None, too_few=None, min_p=0.005, learned=None, rare=None):
    """Answers to cells with these probabilities of the leaves, and of rare labels."""
    levels = {level: nodes | ABOVE_RARE[level] for level, nodes in (levels or {}).items()}
    probabilities = np.array(probabilities, dtype=np.float32).reshape(-1, len(LEAVES))
    n_cells = len(probabilities)
    return decide(
        probabilities,
        np.ones(n_cells, np.float32) if ood_pvalue is None else np.array(ood_pvalue, np.float32),
        np.zeros(n_cells, bool) if too_few is None else np.array(too_few),
        hierarchy_of(LEAVES, levels, rare=[MAST, TREG]),
        learned or rules(),
        min_p=min_p,
        rare=RareLikeness(np.array(rare[0], dtype=object), np.array(rare[1], np.float32)) if rare else None,
    )


SURE, SUBTYPES, TIE, LOW = (
    [0.9, 0.05, 0.03, 0.02],
    [0.1, 0.5, 0.39, 0.01],
    [0.51, 0.29, 0.1, 0.1],
    [0.2, 0.35, 0.25, 0.2],
)


def told(columns):
    """Label, level and reason of each cell."""
    return list(zip(columns["label"], columns["level"], columns["reason"], strict=True))


def test_each_reason():
    found = ask(
        [SURE, TIE, SURE, SURE, SURE],
        ood_pvalue=[1, 1, 0.001, 1, 0.001],
        too_few=[False, False, False, True, True],
    )
    assert told(found) == [
        ("B", LEAF_LEVEL, None),
        ("unknown", None, AMBIGUOUS),
        ("unknown", None, OUT_OF_REFERENCE),
        ("unknown", None, LOW_QUALITY),
        ("unknown", None, LOW_QUALITY),  # few counts come before all other reasons
    ]
    # Every cell has a best label.
    assert found["best_label"].tolist() == ["B"] * 5
    assert found["runner_up"].tolist() == ["CD4 T"] * 5
    np.testing.assert_allclose(found["probability"], [0.9, 0.51, 0.9, 0.9, 0.9])
    np.testing.assert_allclose(found["runner_up_probability"], [0.05, 0.29, 0.05, 0.05, 0.05])


def test_a_cell_that_is_clearly_like_a_rare_label_gets_no_other():
    rare = [MAST, TREG, MAST, MAST, MAST, MAST], [0.81, 0.9, 0.8, 0.1, 0.9, 0.9]
    found = ask(
        [SURE, SURE, SURE, TIE, SURE, SURE],
        rare=rare,
        ood_pvalue=[1, 1, 1, 1, 0.001, 1],
        too_few=[False] * 5 + [True],
    )
    assert told(found) == [
        ("unknown", None, RARE_LABEL),
        ("unknown", None, RARE_LABEL),
        ("B", LEAF_LEVEL, None),  # at the threshold, not beyond it
        ("unknown", None, AMBIGUOUS),
        ("unknown", None, OUT_OF_REFERENCE),
        ("unknown", None, LOW_QUALITY),
    ]
    assert found["rare_label"].tolist() == [MAST, TREG, None, None, MAST, None]
    assert found["best_label"].tolist() == ["B"] * 6
    assert "rare_label" not in ask([SURE])


def test_a_coarser_label_stays_that_the_rare_one_has_too():
    t_cell = [0.05, 0.85, 0.05, 0.05]
    found = ask([t_cell, t_cell, SURE, SURE], levels=BOTH, rare=([TREG, MAST, TREG, MAST], [0.9] * 4))
    assert told(found) == [
        ("T", "lineage", SUBTYPE_UNSURE),
        ("unknown", None, RARE_LABEL),
        ("lymphoid", "compartment", SUBTYPE_UNSURE),
        ("unknown", None, RARE_LABEL),
    ]
    assert found["rare_label"].tolist() == [TREG, MAST, TREG, MAST]


def test_a_node_of_one_leaf_and_a_rare_label_is_not_that_leaf():
    levels = {"lineage": LINEAGE["lineage"] | {TREG: "B cell"}}
    hierarchy = hierarchy_of(LEAVES, levels, rare=[TREG])
    rare = RareLikeness(np.array([TREG], dtype=object), np.array([0.9], np.float32))
    found = decide(
        np.array([SURE], np.float32), np.ones(1), np.zeros(1, bool), hierarchy, rules(), min_p=0, rare=rare
    )
    assert told(found) == [("B cell", "lineage", SUBTYPE_UNSURE)]


def test_without_levels_there_are_no_columns_of_levels():
    assert not [name for name in ask([SURE]) if name.startswith("level_")]


def test_a_cell_is_outside_below_the_limit_and_not_at_it():
    found = ask([SURE] * 3, ood_pvalue=[0.005, 0.0049, 0.0], min_p=0.005)
    assert found["reason"].tolist() == [None, OUT_OF_REFERENCE, OUT_OF_REFERENCE]
    assert ask([SURE], ood_pvalue=[0.0], min_p=0)["reason"].tolist() == [None]


def test_where_the_leaf_is_unsure_the_answer_is_coarser():
    found = ask([SUBTYPES, TIE, LOW], levels=BOTH)
    assert told(found) == [
        ("T", "lineage", SUBTYPE_UNSURE),
        ("lymphoid", "compartment", SUBTYPE_UNSURE),
        ("T", "lineage", SUBTYPE_UNSURE),
    ]
    assert found["level_lineage"].tolist() == ["T", "B cell", "T"]
    np.testing.assert_allclose(found["level_lineage_probability"], [0.9, 0.51, 0.8], rtol=1e-6)
    assert found["level_compartment"].tolist() == ["lymphoid"] * 3
    np.testing.assert_allclose(found["level_compartment_probability"], 1, rtol=1e-6)
    assert found["best_label"].tolist() == ["CD4 T", "B", "CD4 T"]


def test_the_finest_level_that_passes_is_given_even_if_a_coarser_one_does_not():
    learned = rules({"lineage": {"B cell": NEVER}})
    assert told(ask([SURE], levels=BOTH, learned=learned)) == [("B", LEAF_LEVEL, None)]


def test_a_node_of_a_single_leaf_is_that_leaf():
    learned = rules({LEAF_LEVEL: {"B": NEVER}})
    found = ask([SURE, SURE], levels=LINEAGE, learned=learned, too_few=[False, True])
    assert told(found) == [("B", LEAF_LEVEL, None), ("unknown", None, LOW_QUALITY)]


def test_each_node_has_a_threshold_of_its_own():
    learned = rules({LEAF_LEVEL: {"B": NEVER, "CD4 T": 0.5}})
    cells = [SURE, [0.1, 0.5, 0.3, 0.1], [0.1, 0.49, 0.31, 0.1], [0.1, 0.05, 0.75, 0.1]]
    found = ask(cells, learned=learned)
    assert found["label"].tolist() == ["unknown", "CD4 T", "unknown", "CD8+, T"]


def test_a_probability_that_equals_the_threshold_passes():
    """Thresholds are probabilities of held-out cells, and pass through JSON."""
    probabilities, _ = simulate_probabilities(200, n_labels=4)
    for cell in probabilities[:50]:
        least = json.loads(json.dumps(np.float64(cell.max()).tolist()))
        learned = rules({LEAF_LEVEL: dict.fromkeys(LEAVES, least)})
        assert ask([cell], learned=learned)["reason"].tolist() == [None]


def test_levels_never_contradict_the_label():
    probabilities, _ = simulate_probabilities(2000, n_labels=4, spread=1.0)
    learned = rules({LEAF_LEVEL: dict.fromkeys(LEAVES, 0.4), "lineage": dict.fromkeys(["B cell", "T"], 0.7)})
    found = ask(probabilities, levels=BOTH, learned=learned)
    for best, lineage in zip(found["best_label"], found["level_lineage"], strict=True):
        assert LINEAGE["lineage"][best] == lineage
    for label, level, best, lineage in zip(
        found["label"], found["level"], found["best_label"], found["level_lineage"], strict=True
    ):
        assert label == {LEAF_LEVEL: best, "lineage": lineage, "compartment": "lymphoid"}[level]
    assert set(found["level"]) == {LEAF_LEVEL, "lineage", "compartment"}


def test_prediction_sets_are_in_order_and_hold_the_best_label():
    found = ask([SURE, SUBTYPES, TIE, [0.25, 0.25, 0.25, 0.25]], learned=with_sets(0.2))
    assert found["prediction_set"].tolist() == ["B", "CD4 T | CD8+, T", "B | CD4 T", " | ".join(LEAVES)]
    assert ask([SURE], learned=with_sets(0.95))["prediction_set"].tolist() == ["B"]
    assert ask([SURE], learned=with_sets(0))["prediction_set"].tolist() == [" | ".join(LEAVES)]


def test_the_answer_stands_first_in_its_set_where_another_leaf_is_likelier():
    # T together is likelier than B, which is likelier than each of them.
    found = ask([[0.4, 0.35, 0.2, 0.05]], levels=LINEAGE, learned=with_sets(0.2))
    assert found["best_label"].tolist() == ["CD4 T"]
    assert found["runner_up"].tolist() == ["B"]
    assert found["prediction_set"].tolist() == ["CD4 T | B | CD8+, T"]


def test_the_runner_up_of_two_labels():
    hierarchy = hierarchy_of(["a", "b"])
    learned = decision_of({LEAF_LEVEL: {"a": 0.7, "b": 0.7}})
    found = decide(
        np.array([[0.2, 0.8]], np.float32), np.ones(1), np.zeros(1, bool), hierarchy, learned, min_p=0.0
    )
    assert (found["best_label"][0], found["runner_up"][0]) == ("b", "a")
    assert found["runner_up_probability"][0] == pytest.approx(0.2)


def test_no_cells():
    found = ask([], levels=BOTH)
    assert all(len(column) == 0 for column in found.values())


def test_probabilities_are_the_calibrated_mixture():
    linear, _ = simulate_probabilities(300, n_labels=4, seed=0)
    expression, _ = simulate_probabilities(300, n_labels=4, seed=1)
    by_head = {"linear": linear, "expression": expression}
    learned = rules(
        temperatures={"expression": 2.0, "linear": 0.5},  # in another order than the heads
        weights={"expression": 0.25, "linear": 0.75},
        mixture_temperature=1.3,
    )
    expected = tempered(combined(by_head, [0.5, 2.0], [0.75, 0.25]), 1.3)
    np.testing.assert_array_equal(calibrated_probabilities(learned, by_head), expected)


def test_rules_are_plain_json_and_read_as_they_were(tmp_path):
    tail = fit_tail(np.random.default_rng(0).gamma(5, 1, 100))
    learned = rules(
        mixture_temperature=1.3,
        novelty=Novelty(tail, tail, tail, fit_tail(np.zeros(0))),
    )
    write_artifact(learned, tmp_path / "calibration.json")
    text = (tmp_path / "calibration.json").read_text(encoding="utf-8")
    assert "γδ T/NKT" in text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read_artifact(DecisionModel, tmp_path / "calibration.json") == learned
