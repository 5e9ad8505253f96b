"""Mixture, calibration and thresholds, fitted on held-out cells."""

from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from ..artifacts.decision import DecisionModel, HeldOutAnswers
from ..heads.classifier import Classifier, HeadOutputs
from ..heads.rare_labels import RareLikeness
from ..heads.rehearsal import Rehearsal
from ..labels.best_path import best_path
from ..labels.hierarchy import LabelHierarchy
from .decision import decide
from .mixture import combined, fitted_temperature, learned_weights, tempered
from .novelty import learn_novelty
from .quality import learned_limits
from .thresholds import Held, label_thresholds, rare_threshold, set_thresholds

CONFIDENCE = 0.95
"""Confidence of the bound on the error among held-out cells with a label."""


class HeldOutCells(NamedTuple):
    """Held-out cells and the classifiers' outputs for them.

    Attributes
    ----------
    codes
        Their labels.
    by_head
        Probabilities of each head, cells × labels.
    distance, label_distance, n_counts, n_genes, rare
        See `cellferry.heads.classifier.HeadOutputs`.
    """

    codes: np.ndarray
    by_head: dict[str, np.ndarray]
    distance: np.ndarray
    label_distance: np.ndarray
    n_counts: np.ndarray
    n_genes: np.ndarray
    rare: RareLikeness | None = None

    @classmethod
    def of(cls, codes: np.ndarray, outputs: list[HeadOutputs], heads: Classifier) -> "HeldOutCells":
        """Join blocks, possibly none."""
        nothing = np.zeros((0, len(heads.labels)), dtype=np.float32)
        by_head = {
            name: np.concatenate([nothing, *(block.by_head[name] for block in outputs)])
            for name in heads.head_names
        }
        others = (
            np.concatenate([nothing[:, 0], *(getattr(block, name) for block in outputs)])
            for name in ("distance", "label_distance", "n_counts", "n_genes")
        )
        rare = None
        if heads.rare_labels and outputs:
            rare = RareLikeness(*map(np.concatenate, zip(*(block.rare for block in outputs), strict=True)))
        return cls(codes, by_head, *others, rare)


def learn_decision(
    cells: HeldOutCells,
    heads: Classifier,
    *,
    donors: np.ndarray,
    rehearsal: Rehearsal | None = None,
    prior: np.ndarray,
    max_error: float,
    made_from: dict[str, str],
) -> DecisionModel:
    """Fit the decision model.

    Parameters
    ----------
    cells
        Held-out cells.
    heads
        The classifiers, for their labels.
    donors
        Donor of each cell as a code, negative for donors seen in training.
    rehearsal
        Predictions for cells of left-out donors: if there are any, mixture, calibration and thresholds are
        fitted on them. Distances and quality are those of the held-out cells.
    prior
        Prior weights of the heads.
    max_error
        Accepted share of wrong labels among assigned ones.
    made_from
        Hashes to record.
    """
    codes, by_head = cells.codes, cells.by_head
    if rehearsal:
        codes, donors, answers = rehearsal.codes, rehearsal.donors, rehearsal.by_head
        by_head = {name: answers[name] for name in heads.head_names}
    temperatures = [fitted_temperature(each, codes) for each in by_head.values()]
    sure = [
        tempered(each, temperature) for each, temperature in zip(by_head.values(), temperatures, strict=True)
    ]
    weights = learned_weights(sure, codes, donors, prior)
    n_donors = len(np.unique(donors[donors >= 0]))
    print(f"{len(codes)} held-out cells, {n_donors} held-out donors{' (rehearsed)' if rehearsal else ''}")
    print(f"temperatures {dict(zip(by_head, np.round(temperatures, 2).tolist(), strict=True))}")
    print(f"weights {dict(zip(by_head, np.round(weights, 3).tolist(), strict=True))}")
    mixture = combined(by_head, temperatures, weights)
    mixture_temperature = fitted_temperature(mixture, codes)
    print(f"temperature of the mixture {mixture_temperature:.2f}")
    probabilities = of_cells = tempered(mixture, mixture_temperature)
    if rehearsal:
        of_cells = tempered(combined(cells.by_head, temperatures, weights), mixture_temperature)
    decision = DecisionModel(
        temperatures=dict(zip(by_head, temperatures, strict=True)),
        weights=dict(zip(by_head, weights.tolist(), strict=True)),
        mixture_temperature=mixture_temperature,
        novelty=learn_novelty(of_cells, cells),
        thresholds={},
        set_thresholds={},
        rare_threshold=rare_threshold(
            cells.rare.probability if cells.rare else np.zeros(0), max_error=max_error
        ),
        quality=learned_limits(cells.n_counts, cells.n_genes),
        held_out=HeldOutAnswers(len(codes), n_donors, max_error, rehearsed=rehearsal is not None),
        made_from=made_from,
    )
    if cells.rare:
        beyond = int((cells.rare.probability > decision.rare_threshold).sum())
        print(f"threshold of rare labels {decision.rare_threshold:.3f}: {beyond} held-out cells are above")
    rare = None if rehearsal else cells.rare
    decision = with_limits(decision, heads, codes, probabilities, rare=rare)
    print(f"held-out cells: {asdict(decision.held_out)}")
    return decision


def with_limits(
    decision: DecisionModel,
    heads: Classifier,
    codes: np.ndarray,
    probabilities: np.ndarray,
    *,
    rare: RareLikeness | None = None,
) -> DecisionModel:
    """The decision with thresholds from held-out cells, and its results for them.

    Parameters
    ----------
    decision
        Mixture and calibration of the heads.
    heads
        The classifiers, for their labels.
    codes, probabilities, rare
        Labels of the cells, their calibrated probabilities (cells × labels), and their most similar
        rare labels, if any.
    """
    max_error = decision.held_out.max_error
    of_truth = probabilities[np.arange(len(codes)), codes]
    of_sets = set_thresholds(of_truth, codes, heads.hierarchy, max_error=max_error)
    decision = replace(
        decision,
        thresholds=level_thresholds(probabilities, codes, heads.hierarchy, max_error=max_error),
        set_thresholds=dict(zip(heads.labels, of_sets.tolist(), strict=True)),
    )
    return replace(decision, held_out=_with_errors(decision, heads, probabilities, codes, rare))


def level_thresholds(
    probabilities: np.ndarray, codes: np.ndarray, hierarchy: LabelHierarchy, *, max_error: float
) -> dict[str, dict[str, float]]:
    """Thresholds per level (the coarsest first), by node.

    A coarser label is assigned to cells without a finer one, so its error is that of such cells. Cells with a
    finer label are almost always right at the coarser level, and would hide that error.
    """
    thresholds = {}
    open_cells = np.ones(len(codes), dtype=bool)
    path = best_path(probabilities, hierarchy)
    above_of = [np.zeros(len(hierarchy.leaves), dtype=int), *(coarser.of_leaf for coarser in path[:-1])]
    for (level, nodes, of_leaf, best, probability), of_parent in reversed(
        list(zip(path, above_of, strict=True))
    ):
        held = Held(best, probability, best == of_leaf[codes]).of_cells(open_cells)
        parents = of_parent[np.unique(of_leaf, return_index=True)[1]]
        least = label_thresholds(held, parents, max_error=max_error)
        thresholds[level] = dict(zip(nodes, least.tolist(), strict=True))
        open_cells &= probability < least[best]
    return dict(reversed(thresholds.items()))


def _with_errors(
    decision: DecisionModel,
    heads: Classifier,
    probabilities: np.ndarray,
    codes: np.ndarray,
    rare: RareLikeness | None,
) -> HeldOutAnswers:
    """Number of held-out cells with a leaf, their error, and its bound (Clopper and Pearson)."""
    n_cells = len(codes)
    inside, enough = np.ones(n_cells), np.zeros(n_cells, dtype=bool)
    decided = decide(probabilities, inside, enough, heads.hierarchy, decision, min_p=0.0, rare=rare)
    truth = np.array(heads.labels, dtype=object)[codes]
    accepted = np.equal(decided["reason"], None)
    n_accepted, n_wrong = int(accepted.sum()), int((accepted & (decided["label"] != truth)).sum())
    bound = betaincinv(n_wrong + 1, n_accepted - n_wrong, CONFIDENCE) if n_wrong < n_accepted else 1.0
    return replace(
        decision.held_out,
        accepted=n_accepted,
        wrong=n_wrong,
        error=n_wrong / n_accepted if n_accepted else None,
        error_bound_95=float(bound),
        accuracy=float((decided["best_label"] == truth).mean()) if n_cells else None,
    )
