"""From the heads' probabilities to a label at some level, or `unknown` with a reason."""

from collections.abc import Sequence

import numpy as np

from ..artifacts.decision import DecisionModel
from ..heads.rare_labels import RareLikeness
from ..labels.best_path import best_path
from ..labels.hierarchy import LabelHierarchy
from ..labels.vocabulary import (
    AMBIGUOUS,
    LEAF_LEVEL,
    LOW_QUALITY,
    OUT_OF_REFERENCE,
    RARE_LABEL,
    SET_SEPARATOR,
    SUBTYPE_UNSURE,
    UNKNOWN,
)
from .mixture import combined, tempered


def calibrated_probabilities(decision: DecisionModel, by_head: dict[str, np.ndarray]) -> np.ndarray:
    """Calibrated probabilities of the leaves: cells × labels, float32.

    Without temperatures those of the only head, uncalibrated.
    """
    names = list(by_head)
    if not decision.temperatures:
        return by_head[names[0]]
    mixture = combined(
        by_head, [decision.temperatures[name] for name in names], [decision.weights[name] for name in names]
    )
    return tempered(mixture, decision.mixture_temperature)


def on_latents(decision: DecisionModel, by_mapping: Sequence[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """Weighted mean probabilities of the heads on latents, by mapping: cells × labels."""
    weights = {name: decision.weights[name] for name in by_mapping[0]}
    shares = {name: np.float32(weight / sum(weights.values())) for name, weight in weights.items()}
    return [sum(share * answers[name] for name, share in shares.items()) for answers in by_mapping]


def decide(
    probabilities: np.ndarray,
    ood_pvalue: np.ndarray,
    too_few: np.ndarray,
    hierarchy: LabelHierarchy,
    decision: DecisionModel,
    *,
    min_p: float,
    rare: RareLikeness | None = None,
) -> dict[str, np.ndarray]:
    """Columns of the decision.

    Parameters
    ----------
    probabilities
        Calibrated, cells × leaves; at least two leaves.
    ood_pvalue
        See `cellferry.calibration.novelty`.
    too_few
        Mask of cells with too few counts or genes.
    hierarchy
        The hierarchy of the leaves.
    decision
        Thresholds.
    min_p
        Cells with a smaller `ood_pvalue` get no label.
    rare
        The most similar rare label of each cell. A cell that is clearly similar gets at most a coarser label,
        an ancestor of both.

    Returns
    -------
    `label`, `level`, `reason`, `best_label`, `probability`, `runner_up`, `runner_up_probability`,
    `prediction_set` and, for each level above the leaves, `level_NAME` and `level_NAME_probability`; with
    `rare`, `rare_label`, None for cells that are not clearly similar, or have too few counts.
    """
    n_cells = len(probabilities)
    cells = np.arange(n_cells)
    leaves = np.array(hierarchy.leaves, dtype=object)
    path = best_path(probabilities, hierarchy)
    label = np.full(n_cells, UNKNOWN, dtype=object)
    level_name = np.full(n_cells, None, dtype=object)
    reason = np.full(n_cells, AMBIGUOUS, dtype=object)
    vetoed = rare.probability > decision.rare_threshold if rare else np.zeros(n_cells, dtype=bool)
    reason[vetoed] = RARE_LABEL
    by_level = {}
    for level, nodes, of_leaf, best, probability in path:
        names = np.array(nodes, dtype=object)[best]
        passes = probability >= np.array([decision.thresholds[level][node] for node in nodes])[best]
        if rare:
            above = np.array([hierarchy.node(like, level) for like in rare.labels[vetoed]], dtype=object)
            passes[vetoed] &= above == names[vetoed]
        label[passes] = names[passes]
        # A node of a single leaf is the leaf.
        whole = passes & (np.bincount(of_leaf)[best] == 1) & ~vetoed
        level_name[passes], reason[passes] = level, SUBTYPE_UNSURE
        label[whole], level_name[whole], reason[whole] = leaves[path[-1].codes][whole], LEAF_LEVEL, None
        if level != LEAF_LEVEL:
            by_level |= {f"level_{level}": names, f"level_{level}_probability": probability}
    for rejected, why in ((ood_pvalue < min_p, OUT_OF_REFERENCE), (too_few, LOW_QUALITY)):
        label[rejected], level_name[rejected], reason[rejected] = UNKNOWN, None, why
    rare_label = {"rare_label": np.where(vetoed & ~too_few, rare.labels, None)} if rare else {}

    best, probability = path[-1].codes, path[-1].probability
    rest = probabilities.copy()
    rest[cells, best] = -1
    runner_up = rest.argmax(axis=1)
    return {
        "label": label,
        "level": level_name,
        "reason": reason,
        "best_label": leaves[best],
        "probability": probability,
        "runner_up": leaves[runner_up],
        "runner_up_probability": rest[cells, runner_up],
        "prediction_set": prediction_sets(probabilities, best, hierarchy.leaves, decision),
        **by_level,
        **rare_label,
    }


def prediction_sets(
    probabilities: np.ndarray, best: np.ndarray, labels: list[str], decision: DecisionModel
) -> np.ndarray:
    """Labels whose probability reaches their threshold, and always the best, sorted by probability."""
    leaves = np.array(labels, dtype=object)
    inside = probabilities >= np.array([decision.set_thresholds[label] for label in labels])
    inside[np.arange(len(best)), best] = True
    sets = leaves[best].copy()
    n_members = np.count_nonzero(inside, axis=1)
    # Most sets of several have two labels: names are joined once per pair, not once per cell.
    (cells,) = np.nonzero(n_members == 2)
    others = inside[cells]
    others[np.arange(len(cells)), best[cells]] = False
    pairs, which = np.unique(best[cells] * len(leaves) + others.argmax(axis=1), return_inverse=True)
    names = [SET_SEPARATOR.join(leaves[list(divmod(pair, len(leaves)))]) for pair in pairs.tolist()]
    sets[cells] = np.array(names, dtype=object)[which]
    for cell in np.flatnonzero(n_members > 2):
        members = np.flatnonzero(inside[cell])
        # A path from the top may end in a leaf that another one exceeds; the decision comes first.
        order = np.lexsort([-probabilities[cell, members], members != best[cell]])
        members = members[order]
        sets[cell] = SET_SEPARATOR.join(leaves[members])
    return sets
