"""What a reader of the report should not overlook."""

from collections.abc import Iterable, Sequence

from ..artifacts.decision import HeldOutAnswers
from ..artifacts.evaluation import Baseline, Evaluation
from ..artifacts.features import Features
from ..artifacts.gene_loss import GeneLoss
from ..artifacts.inspection import InspectedRounding
from ..artifacts.left_out import LeftOutLabel
from ..config.available_heads import MOST_LABELS, affordable_heads, available_heads
from .label_counts import LabelCounts

LOW_ACCURACY = 0.8
MUCH_UNKNOWN = 0.2
TEST = "test"
"""The part of the reference that was held out to be scored."""
MUCH_MISCALIBRATED = 0.1
CELLS_TO_JUDGE_CALIBRATION = 200
"""With fewer, chance alone gives bins a gap of that size."""
MUCH_ACCEPTED = 0.5
MAX_CONFUSED_NAMED = 3
FEW_COMMON_GENES = 0.5
BASELINE_MARGIN = 0.02
MUCH_MOVED = 0.1
ROUNDED = 1.05
"""Thresholds are raised by a sketch, with held-out cells beside it: they keep the limit to a few percent."""


def remarks(
    label_counts: dict[str, LabelCounts],
    evaluations: dict[str, Evaluation],
    features: Features | None,
    *,
    gene_loss: dict[str, GeneLoss],
    rare: dict[str, int],
    left_out: dict[str, LeftOutLabel],
    max_error: float = 1.0,
    max_loss: float = 1.0,
    rounded: dict[str, InspectedRounding] | None = None,
    not_trained: dict[str, int] | None = None,
    held_out: HeldOutAnswers | None = None,
    conflicts: Sequence[str] = (),
) -> list[str]:
    """Sentences on what lowers the trust in the answer; none where nothing does.

    Parameters
    ----------
    label_counts
        Counted labels by query.
    evaluations
        Scores by part.
    features
        The genes of the model; None where they are not chosen yet.
    gene_loss
        By query that may lack genes of the model, the accuracy this costs.
    rare
        Cells by label of the reference's labels that have too few to be learned.
    left_out
        By label that was taken out of the reference: what became of its held-out cells.
    max_error
        Share of wrong labels that was allowed on held-out cells.
    max_loss
        Macro-F1 that missing genes may cost.
    rounded
        By dataset whose counts were rounded: the effect on its first cells.
    not_trained
        By head that the reference has too many labels for: how many it may have.
    held_out
        Answers to the held-out cells that calibrate the classifiers; None where that is not done yet.
    conflicts
        Sentences on labels that two references draw differently under one name.
    """
    return [
        *_on_calibration(held_out),
        *conflicts,
        *_on_rare_labels(rare, label_counts),
        *_on_labels_left_out(left_out),
        *(remark for name, scores in evaluations.items() for remark in _on_scores(name, scores)),
        *_on_unknown_cells(label_counts),
        *_on_expected_errors(label_counts, max_error),
        *_on_mappings(label_counts),
        *_on_common_genes(label_counts, features),
        *_on_gene_loss(gene_loss, max_loss),
        *(rounding_in_words(name, first) for name, first in (rounded or {}).items()),
        *(
            f"{head} was not trained: the reference has more than {most:,} labels, for which it takes "
            "too long. The other classifiers gave the answer."
            for head, most in (not_trained or {}).items()
        ),
    ]


def heads_not_trained(config: dict, n_labels: int) -> dict[str, int]:
    """By head that so many labels leave out: how many it may have."""
    heads = config.get("prediction", {}).get("heads", [])
    cytometry = config.get("modality") == "cytometry"
    heads = available_heads(heads, scanvi_model=True, cytometry=cytometry, expression=True)
    kept = affordable_heads(heads, n_labels=n_labels)
    return {head: MOST_LABELS[head] for head in heads if head not in kept}


def _on_calibration(held_out: HeldOutAnswers | None) -> list[str]:
    if held_out is None or held_out.cells:
        return []
    return [
        "The reference has no held-out cells: probabilities are not calibrated; labels are given out from "
        f"a probability of {1 - held_out.max_error:g} on, taken at its word. A labeled dataset with "
        "`role: evaluate` shows how often they are right."
    ]


def _on_rare_labels(rare: dict[str, int], label_counts: dict[str, LabelCounts]) -> list[str]:
    if not rare:
        return []
    listed = ", ".join(f"{label} ({cells:,})" for label, cells in rare.items())
    named = sum(sum(counted.rare.values()) for counted in label_counts.values())
    return [
        f"The reference has {len(rare)} label(s) of too few cells to be learned: {listed}. No cell can "
        "get them; such cells should be unknown, or get a label of a coarser level."
        + (f" {named:,} are clearly like one, which the column rare_label names." if named else "")
    ]


def _on_labels_left_out(left_out: dict[str, LeftOutLabel]) -> list[str]:
    shares = {label: entry.accepted / entry.cells for label, entry in left_out.items() if entry.cells}
    mistaken = [label for label, share in shares.items() if share > MUCH_ACCEPTED]
    if not mistaken:
        return []
    worst = max(mistaken, key=shares.get)
    taken_for = max(left_out[worst].accepted_as, key=left_out[worst].accepted_as.get)
    return [
        f"{len(mistaken)} of {len(left_out)} labels would be taken for others if the reference lacked "
        f"them: without {worst}, {shares[worst]:.1%} of its cells were accepted, most as {taken_for}."
    ]


def _on_scores(name: str, scores: Evaluation) -> list[str]:
    """Remarks on a part that was scored; none where no truth is known."""
    accuracy = scores.forced.accuracy
    if accuracy is None:
        return []
    sentences = []
    if accuracy < LOW_ACCURACY:
        sentences.append(f"{name}: only {accuracy:.1%} of the cells with a known truth got the right label.")
    rejected = scores.answered.rejected_share
    if name == TEST and rejected is not None and rejected > MUCH_UNKNOWN:
        sentences.append(
            f"{name}: {rejected:.1%} of the reference's own held-out cells are unknown; the model may "
            "have been trained too briefly (model.epochs), or its donors differ too much."
        )
    sentences += _on_baseline(name, scores.baseline)
    ece = scores.forced.ece
    if ece > MUCH_MISCALIBRATED and scores.truth_in_reference >= CELLS_TO_JUDGE_CALIBRATION:
        sentences.append(
            f"{name}: a probability is off by {ece:.2f} on average; do not take it at its word there."
        )
    sentences += [
        f"{name}: {pair.labels[0]} and {pair.labels[1]} are hardly told apart; {pair.share:.1%} "
        "of their cells got the other one's label."
        for pair in scores.confused_labels[:MAX_CONFUSED_NAMED]
    ]
    if scores.truth_not_in_reference:
        sentences.append(
            f"{name}: {scores.truth_not_in_reference:,} cells have a label that the reference lacks "
            f"({', '.join(scores.labels_not_in_reference)}); "
            f"{scores.truth_not_in_reference_called_unknown:,} of them were called unknown."
        )
    return sentences


def _on_baseline(name: str, baseline: Baseline | None) -> list[str]:
    if not baseline:
        return []
    simple, cellferry = baseline.accuracy, baseline.cellferry_on_the_same_cells.accuracy
    if simple is None or cellferry is None or cellferry >= simple - BASELINE_MARGIN:
        return []
    return [
        f"{name}: the simple baseline is right more often ({simple:.1%} against {cellferry:.1%}); "
        "the reference model may have been trained too briefly or on too few cells."
    ]


def _on_unknown_cells(label_counts: dict[str, LabelCounts]) -> list[str]:
    return [
        f"{name}: {counts.n_unknown / counts.n_cells:.1%} of the cells are unknown; the reference "
        "may lack their types, or the query differs much from it."
        for name, counts in label_counts.items()
        if counts.n_cells and counts.n_unknown / counts.n_cells > MUCH_UNKNOWN
    ]


def _on_expected_errors(label_counts: dict[str, LabelCounts], max_error: float) -> list[str]:
    """Queries whose labels are less sure than `max_error` asks of held-out cells."""
    return [
        f"{name}: {counts.expected_error:.1%} of its labels are expected to be wrong, by their "
        f"probabilities; prediction.max_error ({max_error:g}) is kept on the reference's held-out cells, and "
        "this query is harder. `prediction.shift: adapt` gives fewer and surer labels."
        for name, counts in label_counts.items()
        if counts.expected_error is not None and counts.expected_error > ROUNDED * max_error
    ]


def _on_mappings(label_counts: dict[str, LabelCounts]) -> list[str]:
    return [
        f"{name}: fitting the model to its batches changes the label of {1 - counts.same_by_mappings:.1%} of "
        "the cells, as far as the heads on the latent space say; the query differs from the reference, and "
        "its labels are less sure."
        for name, counts in label_counts.items()
        if counts.same_by_mappings is not None and 1 - counts.same_by_mappings > MUCH_MOVED
    ]


def _on_common_genes(queries: Iterable[str], features: Features | None) -> list[str]:
    # The reference's share says little: a small panel shares few of its genes, and may suffice.
    datasets = features.datasets if features else {}
    return [
        f"{name}: only {datasets[name].common_share:.1%} of its genes are common to all datasets."
        for name in queries
        if name in datasets and datasets[name].common_share < FEW_COMMON_GENES
    ]


def _on_gene_loss(gene_loss: dict[str, GeneLoss], max_loss: float) -> list[str]:
    sentences = []
    for name, loss in gene_loss.items():
        if loss.loss is None or (not loss.advice and loss.loss <= max_loss):
            continue
        lacks = (
            f"{name}: lacks {loss.genes - loss.measured:,} of the model's {loss.genes:,} genes, which "
            f"costs {loss.loss:.3f} of the macro-F1"
        )
        retrained = loss.loss_retrained
        price = "" if retrained is None else f" (by the baseline that would cost {max(0, retrained):.3f})"
        if loss.advice:
            advice = f"train on common genes{price} (genes.retrain_on_common: true, and no `pretrained`)."
        else:
            advice = f"training on its genes would not help{price}; provide coarser labels."
        sentences.append(f"{lacks}; {advice}")
    return sentences


def rounding_in_words(name: str, first: InspectedRounding) -> str:
    """One sentence on a dataset whose counts were rounded (`counts_rounding`)."""
    sentence = f"{name}: its counts were fractional, and are rounded to whole numbers (counts_rounding)"
    if not first.cells:
        return f"{sentence}; the log of convert_to_chunks says how much that changed."
    change = first.after / first.before - 1 if first.before else 0
    return (
        f"{sentence}; of its first {first.cells:,} cells the total of {first.before:,.1f} became "
        f"{first.after:,.0f} ({change:+.2%})."
    )
