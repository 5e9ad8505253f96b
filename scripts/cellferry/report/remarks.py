"""Remarks on the report's results that users must read first."""

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
"""The held-out part of the reference that is scored."""
MUCH_MISCALIBRATED = 0.1
CELLS_TO_JUDGE_CALIBRATION = 200
"""With fewer cells, bins have a gap of that size by chance."""
MUCH_ACCEPTED = 0.5
MAX_CONFUSED_NAMED = 3
FEW_COMMON_GENES = 0.5
BASELINE_MARGIN = 0.02
BASELINE_P_VALUE = 0.05
"""A difference with a larger p-value may be due to chance."""
MUCH_MOVED = 0.1
ROUNDED = 1.05
"""Tolerance: thresholds raised from a sketch keep the limit to within a few percent."""


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
    """Sentences on problems of the results; empty without any.

    Parameters
    ----------
    label_counts
        Counted labels by query.
    evaluations
        Scores by part.
    features
        The genes of the model; None if they are not selected yet.
    gene_loss
        Accuracy lost to missing genes, by query that may lack genes of the model.
    rare
        Cells by label, for labels with too few cells to be trained on.
    left_out
        Results for the held-out cells of each label that was left out of the reference.
    max_error
        Accepted share of wrong labels on held-out cells.
    max_loss
        Accepted loss of macro-F1 due to missing genes.
    rounded
        Effect of rounding on the first cells, by dataset whose counts were rounded.
    not_trained
        Maximum number of labels, by head that was not trained because the reference has more.
    held_out
        Answers to the held-out cells that calibrate the classifiers; None before calibration.
    conflicts
        Sentences on labels that two references use for different cells.
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
            f"{head} was not trained: the reference has more than {most:,} labels, which takes too long. "
            "The labels are those of the other classifiers."
            for head, most in (not_trained or {}).items()
        ),
    ]


def heads_not_trained(config: dict, n_labels: int) -> dict[str, int]:
    """Maximum number of labels, by head that is left out because there are more."""
    heads = config.get("prediction", {}).get("heads", [])
    cytometry = config.get("modality") == "cytometry"
    heads = available_heads(heads, scanvi_model=True, cytometry=cytometry, expression=True)
    kept = affordable_heads(heads, n_labels=n_labels)
    return {head: MOST_LABELS[head] for head in heads if head not in kept}


def _on_calibration(held_out: HeldOutAnswers | None) -> list[str]:
    if held_out is None or held_out.cells:
        return []
    return [
        "The reference has no held-out cells: probabilities are not calibrated, and a cell gets its label "
        f"if its probability is at least {1 - held_out.max_error:g}. Add a labeled dataset with "
        "`role: evaluate` to measure the error."
    ]


def _on_rare_labels(rare: dict[str, int], label_counts: dict[str, LabelCounts]) -> list[str]:
    if not rare:
        return []
    listed = ", ".join(f"{label} ({cells:,})" for label, cells in rare.items())
    named = sum(sum(counted.rare.values()) for counted in label_counts.values())
    return [
        f"The reference has {len(rare)} label(s) with too few cells to be predicted: {listed}. "
        "Such cells should be unknown, or get a label of a coarser level."
        + (f" {named:,} cells resemble one of these labels (column rare_label)." if named else "")
    ]


def _on_labels_left_out(left_out: dict[str, LeftOutLabel]) -> list[str]:
    shares = {label: entry.accepted / entry.cells for label, entry in left_out.items() if entry.cells}
    mistaken = [label for label, share in shares.items() if share > MUCH_ACCEPTED]
    if not mistaken:
        return []
    worst = max(mistaken, key=shares.get)
    taken_for = max(left_out[worst].accepted_as, key=left_out[worst].accepted_as.get)
    return [
        f"{len(mistaken)} of {len(left_out)} labels are mistaken for other labels if they are missing from "
        f"the reference: without {worst}, {shares[worst]:.1%} of its cells were accepted, most as "
        f"{taken_for}."
    ]


def _on_scores(name: str, scores: Evaluation) -> list[str]:
    """Remarks on a scored part; empty if no truth is known."""
    accuracy = scores.forced.accuracy
    if accuracy is None:
        return []
    sentences = []
    if accuracy < LOW_ACCURACY:
        sentences.append(f"{name}: only {accuracy:.1%} of the cells with a known truth got the right label.")
    rejected = scores.answered.rejected_share
    if name == TEST and rejected is not None and rejected > MUCH_UNKNOWN:
        sentences.append(
            f"{name}: {rejected:.1%} of the reference's own held-out cells are unknown; the model may need "
            "longer training (model.epochs), or the donors differ too much."
        )
    sentences += _on_baseline(name, scores.baseline)
    ece = scores.forced.ece
    if ece > MUCH_MISCALIBRATED and scores.truth_in_reference >= CELLS_TO_JUDGE_CALIBRATION:
        sentences.append(f"{name}: probabilities are off by {ece:.2f} on average; do not rely on them there.")
    sentences += [
        f"{name}: {pair.labels[0]} and {pair.labels[1]} are often confused; {pair.share:.1%} "
        "of their cells got the other label."
        for pair in scores.confused_labels[:MAX_CONFUSED_NAMED]
    ]
    if scores.truth_not_in_reference:
        sentences.append(
            f"{name}: {scores.truth_not_in_reference:,} cells have a label that is missing from the "
            f"reference ({', '.join(scores.labels_not_in_reference)}); "
            f"{scores.truth_not_in_reference_called_unknown:,} of them are unknown."
        )
    return sentences


def _on_baseline(name: str, baseline: Baseline | None) -> list[str]:
    """A remark if the baseline is clearly better than the best labels."""
    # Without cells, and so without accuracies, the p-value is 1.
    if baseline is None or baseline.p_value > BASELINE_P_VALUE:
        return []
    simple, cellferry = baseline.accuracy, baseline.cellferry_on_the_same_cells.accuracy
    if cellferry >= simple - BASELINE_MARGIN:
        return []
    return [
        f"{name}: the simple baseline is more accurate ({simple:.1%} against {cellferry:.1%}; it alone is "
        f"right on {baseline.only_baseline:,} cells, the best label on {baseline.only_cellferry:,}); the "
        "reference model may need longer training or more cells."
    ]


def _on_unknown_cells(label_counts: dict[str, LabelCounts]) -> list[str]:
    return [
        f"{name}: {counts.n_unknown / counts.n_cells:.1%} of the cells are unknown; their types may be "
        "missing from the reference, or the query differs strongly from it."
        for name, counts in label_counts.items()
        if counts.n_cells and counts.n_unknown / counts.n_cells > MUCH_UNKNOWN
    ]


def _on_expected_errors(label_counts: dict[str, LabelCounts], max_error: float) -> list[str]:
    """Remarks on queries whose expected error exceeds `max_error`."""
    return [
        f"{name}: {counts.expected_error:.1%} of its labels are expected to be wrong; prediction.max_error "
        f"({max_error:g}) holds for the reference's held-out cells, and this query is harder. "
        "`prediction.shift: adapt` gives fewer and more reliable labels."
        for name, counts in label_counts.items()
        if counts.expected_error is not None and counts.expected_error > ROUNDED * max_error
    ]


def _on_mappings(label_counts: dict[str, LabelCounts]) -> list[str]:
    return [
        f"{name}: fitting the model to its batches changes the label of {1 - counts.same_by_mappings:.1%} of "
        "the cells (by the heads on the latent space); the query differs from the reference, and its labels "
        "are less reliable."
        for name, counts in label_counts.items()
        if counts.same_by_mappings is not None and 1 - counts.same_by_mappings > MUCH_MOVED
    ]


def _on_common_genes(queries: Iterable[str], features: Features | None) -> list[str]:
    # Not for the reference: it shares few genes with a small panel, which can suffice.
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
            f"{name}: lacks {loss.genes - loss.measured:,} of the model's {loss.genes:,} genes; estimated "
            f"loss of macro-F1: {loss.loss:.3f}"
        )
        retrained = loss.loss_retrained
        price = "" if retrained is None else f" (loss of the retrained baseline: {max(0, retrained):.3f})"
        if loss.advice:
            advice = f"train on common genes{price}: set genes.retrain_on_common: true, without `pretrained`."
        else:
            advice = f"training on its genes does not help{price}; provide coarser labels."
        sentences.append(f"{lacks}; {advice}")
    return sentences


def rounding_in_words(name: str, first: InspectedRounding) -> str:
    """One sentence on a dataset whose counts were rounded (`counts_rounding`)."""
    sentence = f"{name}: its counts were fractional, and are rounded to whole numbers (counts_rounding)"
    if not first.cells:
        return f"{sentence}; see the log of convert_to_chunks for the change."
    change = first.after / first.before - 1 if first.before else 0
    return (
        f"{sentence}; the total of its first {first.cells:,} cells changed from {first.before:,.1f} to "
        f"{first.after:,.0f} ({change:+.2%})."
    )
