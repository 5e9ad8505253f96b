"""The scores of a query from what was counted of it: per level, per head, of what was rejected or unseen."""

from collections import Counter

from ..labels.hierarchy import COARSER, IN_REFERENCE, NOT_IN_REFERENCE, NOT_PREDICTABLE, LabelHierarchy
from ..labels.vocabulary import LEAF_LEVEL, UNKNOWN
from .counts import Tally, separation
from .metrics import Pairs, confused_labels, confusion, label_scores, summary

GROUPS = {
    IN_REFERENCE: ("leaf_truth", "known_truth", "all_truth"),
    COARSER: ("known_truth", "all_truth"),
    NOT_PREDICTABLE: ("all_truth",),
    NOT_IN_REFERENCE: ("all_truth",),
}
"""By what the reference knows of a cell's truth: in which shares of rejection and error the cell counts."""


def describe(counted: Tally, tree: LabelHierarchy, heads: list[str]) -> dict:
    """Scores from what was counted.

    Accuracy, macro-F1 and calibration are over cells whose truth is one of the reference's labels; at a
    coarser level over those whose truth says something about it. `forced` scores the best label of every
    cell; `answered` and `answer` the answer, where `unknown`, or one that is not so precise, counts as wrong.
    """
    kinds: Counter[str] = Counter()
    answers: Pairs = Counter()
    for (truth, label, _, _), n in counted.answers.items():
        if truth is not None:
            kinds[tree.kind(truth)] += n
            answers[truth, label] += n
    by_level = level_scores(counted, tree, heads)
    leaf = {name: _summary_only(scores) for name, scores in by_level[LEAF_LEVEL]["heads"].items()}
    rejected = rejection(counted, tree)
    foreign, rare = (unseen(counted, tree, kind) for kind in (NOT_IN_REFERENCE, NOT_PREDICTABLE))
    best = Counter(
        {pair: n for pair, n in counted.pairs["best_label"].items() if tree.kind(pair[0]) == IN_REFERENCE}
    )
    return {
        "n_cells": counted.n_cells,
        "with_truth": kinds.total(),
        "truth_in_reference": kinds[IN_REFERENCE],
        "truth_at_a_coarser_level": kinds[COARSER],
        "truth_not_predictable": kinds[NOT_PREDICTABLE],
        "truth_not_in_reference": kinds[NOT_IN_REFERENCE],
        "truth_not_in_reference_called_unknown": sum(entry["unknown"] for entry in foreign.values()),
        "labels_not_in_reference": foreign,
        "labels_not_predictable": rare,
        "forced": leaf["forced"],
        "answered": leaf["answer"]
        | {
            "rejected_share": rejected["leaf_truth"]["unknown_share"],
            "accuracy_among_accepted": rejected["leaf_truth"]["accuracy_among_accepted"],
        },
        "heads": {head: leaf[head] for head in heads},
        "levels": by_level,
        "rejection": rejected,
        "prediction_sets": {
            "cells": counted.n_sets,
            "coverage": _share(counted.in_sets, counted.n_sets),
            "mean_size": _share(counted.set_sizes, counted.n_sets),
        },
        "confidence": counted.reliability["best_label"].bins(),
        "confusion": confusion(answers),
        "confused_labels": confused_labels(best),
    }


def level_scores(counted: Tally, tree: LabelHierarchy, heads: list[str]) -> dict[str, dict]:
    """Scores by level, the finest first: number of cells, and by head its summary, ece and scores per label.

    Beside the heads stand `answer` and `forced`. The heads give probabilities of leaf labels only, so
    above these they have no ece; that of `answer` is the one of the probability beside it.
    """
    answers: Counter[tuple[str, str, str | None]] = Counter()
    for (truth, label, answered_at, _), n in counted.answers.items():
        if truth is not None:
            answers[truth, label, answered_at] += n
    found = {}
    for level in tree.names:
        forced = "best_label" if level == LEAF_LEVEL else f"level_{level}"
        pairs = {
            "answer": _at_level(answers, tree, level),
            "forced": _at_level(_answered_at(level, counted.pairs[forced]), tree, level),
        }
        ece = dict.fromkeys(pairs, counted.reliability[forced].ece())
        for head in heads:
            column = f"{head}_label"
            pairs[head] = _at_level(_answered_at(LEAF_LEVEL, counted.pairs[column]), tree, level)
            ece[head] = counted.reliability[column].ece() if level == LEAF_LEVEL else None
        found[level] = {
            "cells": pairs["answer"].total(),
            "heads": {
                name: {
                    **summary(counts),
                    "ece": ece[name],
                    "labels": label_scores(counts, sorted({truth for truth, _ in counts})),
                }
                for name, counts in pairs.items()
            },
        }
    return found


def _answered_at(level: str, pairs: Pairs) -> Counter[tuple[str, str, str | None]]:
    return Counter({(truth, label, level): n for (truth, label), n in pairs.items()})


def of_leaves(pairs: Pairs, tree: LabelHierarchy, level: str) -> Pairs:
    """Truth and leaf label as they are at a level."""
    return _at_level(_answered_at(LEAF_LEVEL, pairs), tree, level)


def _at_level(answers: Counter[tuple[str, str, str | None]], tree: LabelHierarchy, level: str) -> Pairs:
    """Truth and answer as they are at a level, without cells whose truth says nothing about it."""
    pairs: Pairs = Counter()
    for (truth, label, answered_at), n in answers.items():
        node = tree.of_truth(truth, level)
        if node is not None:
            pairs[node, tree.of_answer(label, answered_at, level)] += n
    return pairs


def rejection(counted: Tally, tree: LabelHierarchy) -> dict:
    """How many cells got an answer, why others did not or got a coarser one, and how often answers are wrong.

    `leaf_truth` is over cells whose truth is one of the reference's labels, `known_truth` over those whose
    truth it knows at any level, `all_truth` over all with a truth: an answer to a cell of a label that it
    does not know is wrong. An answer is held against the
    truth at the coarser of their levels.
    """
    reasons: Counter[str] = Counter()
    n_unknown = n_backed_off = 0
    cells, accepted, right = Counter(), Counter(), Counter()
    for (truth, label, level, reason), n in counted.answers.items():
        if reason is not None:
            reasons[reason] += n
        if label == UNKNOWN:
            n_unknown += n
        elif level != LEAF_LEVEL:
            n_backed_off += n
        if truth is None:
            continue
        for group in GROUPS[tree.kind(truth)]:
            cells[group] += n
            if label != UNKNOWN:
                accepted[group] += n
                right[group] += n * tree.is_right(truth, label, level)
    return {
        "reasons": dict(sorted(reasons.items())),
        "unknown": n_unknown,
        "coarser": n_backed_off,
        "accepted": counted.n_cells - n_unknown,
        "accepted_share": _share(counted.n_cells - n_unknown, counted.n_cells),
    } | {
        group: {
            "cells": cells[group],
            "accepted": accepted[group],
            "unknown_share": _share(cells[group] - accepted[group], cells[group]),
            "accuracy_among_accepted": _share(right[group], accepted[group]),
            "error_among_accepted": _share(accepted[group] - right[group], accepted[group]),
        }
        for group in GROUPS[IN_REFERENCE]
    }


def unseen(counted: Tally, tree: LabelHierarchy, kind: str) -> dict[str, dict]:
    """True labels of a kind that cannot be answered: their cells, how many were accepted, and as what."""
    found: dict[str, dict] = {}
    for (truth, label, _, _), n in counted.answers.items():
        if truth is None or tree.kind(truth) != kind:
            continue
        entry = found.setdefault(truth, {"cells": 0, "unknown": 0, "accepted": 0, "as": Counter()})
        entry["cells"] += n
        entry["unknown" if label == UNKNOWN else "accepted"] += n
        if label != UNKNOWN:
            entry["as"][label] += n
    return {label: entry | {"as": dict(entry["as"].most_common())} for label, entry in sorted(found.items())}


def add_separation(scores: dict, predictions: str, counted: Tally, tree: LabelHierarchy) -> None:
    """Add the AUROC of cells of unseen labels against those of known ones, per label and of all together."""
    truths = {truth for truth, *_ in counted.answers if truth is not None}
    known = {truth for truth in truths if tree.kind(truth) in (IN_REFERENCE, COARSER)}
    for key in ("not_in_reference", "not_predictable"):
        labels = scores[f"labels_{key}"]
        by_label, together = separation(predictions, known, list(labels))
        for label, areas in by_label.items():
            labels[label]["auroc"] = areas
        sums = {name: sum(entry[name] for entry in labels.values()) for name in ("cells", "accepted")}
        scores[key] = sums | {"auroc": together}


def _summary_only(scores: dict) -> dict:
    return {key: value for key, value in scores.items() if key != "labels"}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
