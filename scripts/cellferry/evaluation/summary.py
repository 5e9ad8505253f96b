"""The scores of a query from its counts: per level, per head, for rejected and unseen cells."""

from collections import Counter, defaultdict
from dataclasses import asdict

from ..artifacts.evaluation import (
    AnswerScores,
    Evaluation,
    HeadScores,
    LevelHeadScores,
    LevelScores,
    PredictionSets,
    Rejection,
    Risk,
    UnseenCells,
    UnseenLabel,
)
from ..labels.hierarchy import COARSER, IN_REFERENCE, NOT_IN_REFERENCE, NOT_PREDICTABLE, LabelHierarchy
from ..labels.vocabulary import LEAF_LEVEL, UNKNOWN
from ..runs.hashes import of_predictions
from .counts import Tally, separation, tally
from .metrics import Pairs, confused_labels, confusion, label_scores, summary

GROUPS = {
    IN_REFERENCE: ("leaf_truth", "known_truth", "all_truth"),
    COARSER: ("known_truth", "all_truth"),
    NOT_PREDICTABLE: ("all_truth",),
    NOT_IN_REFERENCE: ("all_truth",),
}
"""By relation of a cell's true label to the reference: its shares of rejection and error."""


def describe(predictions: str, tree: LabelHierarchy, heads: list[str]) -> Evaluation:
    """Scores of a parquet file of predictions, which has a column `truth`; without those of a baseline."""
    counted = tally(predictions, tree, heads)
    kinds: Counter[str] = Counter()
    pairs_of_label: Pairs = Counter()
    for (truth, label, _, _), n in counted.answers.items():
        if truth is not None:
            kinds[tree.kind(truth)] += n
            pairs_of_label[truth, label] += n
    by_level = level_scores(counted, tree, heads)
    leaf = {name: _without_labels(scores) for name, scores in by_level[LEAF_LEVEL].heads.items()}
    rejected = rejection(counted, tree)
    foreign, all_foreign = unseen(predictions, counted, tree, NOT_IN_REFERENCE)
    rare, all_rare = unseen(predictions, counted, tree, NOT_PREDICTABLE)
    best = Counter(
        {pair: n for pair, n in counted.pairs["best_label"].items() if tree.kind(pair[0]) == IN_REFERENCE}
    )
    return Evaluation(
        made_from=of_predictions([predictions]),
        n_cells=counted.n_cells,
        with_truth=kinds.total(),
        truth_in_reference=kinds[IN_REFERENCE],
        truth_at_a_coarser_level=kinds[COARSER],
        truth_not_predictable=kinds[NOT_PREDICTABLE],
        truth_not_in_reference=kinds[NOT_IN_REFERENCE],
        truth_not_in_reference_called_unknown=sum(entry.unknown for entry in foreign.values()),
        labels_not_in_reference=foreign,
        labels_not_predictable=rare,
        not_in_reference=all_foreign,
        not_predictable=all_rare,
        forced=leaf["forced"],
        answered=AnswerScores(
            **asdict(leaf["answer"]),
            rejected_share=rejected.leaf_truth.unknown_share,
            accuracy_among_accepted=rejected.leaf_truth.accuracy_among_accepted,
        ),
        heads={head: leaf[head] for head in heads},
        levels=by_level,
        rejection=rejected,
        prediction_sets=PredictionSets(
            cells=counted.n_sets,
            coverage=_share(counted.in_sets, counted.n_sets),
            mean_size=_share(counted.set_sizes, counted.n_sets),
        ),
        confidence=counted.reliability["best_label"].bins(),
        confusion=confusion(pairs_of_label),
        confused_labels=confused_labels(best),
    )


def level_scores(counted: Tally, tree: LabelHierarchy, heads: list[str]) -> dict[str, LevelScores]:
    """Scores by level, the finest first.

    `answer` and `forced` are listed with the heads. Heads give probabilities of leaf labels only, so they
    have no ece at other levels; that of `answer` is the ece of its probability.
    """
    answers: Counter[tuple[str, str, str | None]] = Counter()
    for (truth, label, answered_at, _), n in counted.answers.items():
        if truth is not None:
            answers[truth, label, answered_at] += n
    levels = {}
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
        by_head = {
            name: LevelHeadScores(
                **asdict(summary(counts)),
                ece=ece[name],
                labels=label_scores(counts, sorted({truth for truth, _ in counts})),
            )
            for name, counts in pairs.items()
        }
        levels[level] = LevelScores(pairs["answer"].total(), by_head)
    return levels


def _answered_at(level: str, pairs: Pairs) -> Counter[tuple[str, str, str | None]]:
    return Counter({(truth, label, level): n for (truth, label), n in pairs.items()})


def of_leaves(pairs: Pairs, tree: LabelHierarchy, level: str) -> Pairs:
    """Nodes of true and leaf labels at a level."""
    return _at_level(_answered_at(LEAF_LEVEL, pairs), tree, level)


def _at_level(answers: Counter[tuple[str, str, str | None]], tree: LabelHierarchy, level: str) -> Pairs:
    """Nodes of true and predicted labels at a level, without cells of coarser true labels."""
    pairs: Pairs = Counter()
    for (truth, label, answered_at), n in answers.items():
        node = tree.of_truth(truth, level)
        if node is not None:
            pairs[node, tree.of_answer(label, answered_at, level)] += n
    return pairs


def rejection(counted: Tally, tree: LabelHierarchy) -> Rejection:
    """Numbers of labeled cells, reasons for coarser labels and `unknown`, and error rates.

    A label for a cell whose true label is missing from the reference is wrong. Any other is compared with the
    true label at the coarser of their levels.
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
    risks = {
        group: Risk(
            cells=cells[group],
            accepted=accepted[group],
            unknown_share=_share(cells[group] - accepted[group], cells[group]),
            accuracy_among_accepted=_share(right[group], accepted[group]),
            error_among_accepted=_share(accepted[group] - right[group], accepted[group]),
        )
        for group in GROUPS[IN_REFERENCE]
    }
    return Rejection(
        reasons=dict(sorted(reasons.items())),
        unknown=n_unknown,
        coarser=n_backed_off,
        accepted=counted.n_cells - n_unknown,
        accepted_share=_share(counted.n_cells - n_unknown, counted.n_cells),
        **risks,
    )


def unseen(
    predictions: str, counted: Tally, tree: LabelHierarchy, kind: str
) -> tuple[dict[str, UnseenLabel], UnseenCells]:
    """Cells by true label that cannot be predicted, and their total."""
    cells: Counter[str] = Counter()
    accepted: dict[str, Counter[str]] = defaultdict(Counter)
    known = set()
    for (truth, label, _, _), n in counted.answers.items():
        if truth is None:
            continue
        if tree.kind(truth) in (IN_REFERENCE, COARSER):
            known.add(truth)
        if tree.kind(truth) == kind:
            cells[truth] += n
            if label != UNKNOWN:
                accepted[truth][label] += n
    by_label, together = separation(predictions, known, sorted(cells))
    labels = {}
    for label, auroc in by_label.items():
        n_accepted = accepted[label].total()
        accepted_as = dict(accepted[label].most_common())
        labels[label] = UnseenLabel(cells[label], n_accepted, auroc, cells[label] - n_accepted, accepted_as)
    n_accepted = sum(entry.accepted for entry in labels.values())
    return labels, UnseenCells(cells.total(), n_accepted, together)


def _without_labels(scores: LevelHeadScores) -> HeadScores:
    return HeadScores(scores.accuracy, scores.macro_f1, scores.ece)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
