"""What a reader of the report should not overlook."""

from .label_counts import LabelCounts

LOW_ACCURACY = 0.8
MUCH_UNKNOWN = 0.2
TEST = "test"
"""The part of the reference that was held back to be scored."""
MUCH_MISCALIBRATED = 0.1
CELLS_TO_JUDGE_CALIBRATION = 200
"""With fewer, chance alone gives bins a gap of that size."""
MUCH_ACCEPTED = 0.5
MOST_CONFUSED_NAMED = 3
FEW_COMMON_GENES = 0.5
BASELINE_MARGIN = 0.02


def remarks(
    answers: dict[str, LabelCounts],
    evaluations: dict[str, dict],
    genes: dict,
    *,
    gene_loss: dict[str, dict],
    rare: dict[str, int],
    left_out: dict[str, dict],
    rounded: dict[str, dict] | None = None,
) -> list[str]:
    """Sentences on what lowers the trust in the answer; none where nothing does.

    Parameters
    ----------
    answers
        Counted labels by query.
    evaluations
        Scores by part, as `evaluate` writes them.
    genes
        What `select_genes` reports.
    gene_loss
        By query that may lack genes of the model, what predict_gene_loss says.
    rare
        Cells by label of the reference's labels that have too few to be learned.
    left_out
        By label that was taken out of the reference: what became of its held-back cells.
    rounded
        By dataset whose counts were rounded: what inspect_dataset says of its first cells.
    """
    found = []
    if rare:
        listed = ", ".join(f"{label} ({cells:,})" for label, cells in rare.items())
        found.append(
            f"The reference has {len(rare)} label(s) of too few cells to be learned: {listed}. No cell can "
            "get them; such cells should be unknown, or get a label of a coarser level."
        )
    shares = {
        label: entry["accepted"] / entry["cells"] for label, entry in left_out.items() if entry["cells"]
    }
    mistaken = [label for label, share in shares.items() if share > MUCH_ACCEPTED]
    if mistaken:
        worst = max(mistaken, key=shares.get)
        taken_for = max(left_out[worst]["as"], key=left_out[worst]["as"].get)
        found.append(
            f"{len(mistaken)} of {len(left_out)} labels would be taken for others if the reference lacked "
            f"them: without {worst}, {shares[worst]:.1%} of its cells were accepted, most as {taken_for}."
        )
    for name, scores in evaluations.items():
        accuracy, baseline = scores["forced"]["accuracy"], scores["baseline"]
        if accuracy is None:
            continue
        if accuracy < LOW_ACCURACY:
            found.append(f"{name}: only {accuracy:.1%} of the cells with a known truth got the right label.")
        of_baseline = baseline and baseline["accuracy"]
        rejected = scores["answered"]["rejected_share"]
        if name == TEST and rejected is not None and rejected > MUCH_UNKNOWN:
            found.append(
                f"{name}: {rejected:.1%} of the reference's own held-back cells are unknown; the model may "
                "have been trained too briefly (model.epochs), or its donors differ too much."
            )
        same = baseline and baseline["cellferry_on_the_same_cells"]["accuracy"]
        if of_baseline is not None and same is not None and same < of_baseline - BASELINE_MARGIN:
            found.append(
                f"{name}: the simple baseline is right more often ({of_baseline:.1%} against {same:.1%}); "
                "the reference model may have been trained too briefly or on too few cells."
            )
        ece = scores["forced"]["ece"]
        if ece > MUCH_MISCALIBRATED and scores["truth_in_reference"] >= CELLS_TO_JUDGE_CALIBRATION:
            found.append(
                f"{name}: a probability is off by {ece:.2f} on average; do not take it at its word there."
            )
        found += [
            f"{name}: {pair['labels'][0]} and {pair['labels'][1]} are hardly told apart; {pair['share']:.1%} "
            "of their cells got the other one's label."
            for pair in scores["confused_labels"][:MOST_CONFUSED_NAMED]
        ]
        if scores["truth_not_in_reference"]:
            found.append(
                f"{name}: {scores['truth_not_in_reference']:,} cells have a label that the reference lacks "
                f"({', '.join(scores['labels_not_in_reference'])}); "
                f"{scores['truth_not_in_reference_called_unknown']:,} of them were called unknown."
            )
    for name, counts in answers.items():
        if counts.n_cells and counts.n_unknown / counts.n_cells > MUCH_UNKNOWN:
            found.append(
                f"{name}: {counts.n_unknown / counts.n_cells:.1%} of the cells are unknown; the reference "
                "may lack their types, or the query differs much from it."
            )
    for name in answers:
        # The reference's share says little: a small panel shares few of its genes, and may suffice.
        share = genes.get("datasets", {}).get(name, {}).get("common_share")
        if isinstance(share, int | float) and share < FEW_COMMON_GENES:
            found.append(f"{name}: only {share:.1%} of its genes are common to all datasets.")
    found += [
        f"{name}: lacks {loss['genes'] - loss['measured']:,} of the model's {loss['genes']:,} genes, which "
        f"costs {loss['loss']:.3f} of the macro-F1; train on common genes "
        "(genes.retrain_on_common: true, and no `pretrained`)."
        for name, loss in gene_loss.items()
        if loss["advice"]
    ]
    found += [rounding_in_words(name, first) for name, first in (rounded or {}).items()]
    return found


def rounding_in_words(name: str, first: dict) -> str:
    """One sentence on a dataset whose counts were rounded (`counts_rounding`)."""
    said = f"{name}: its counts were fractional, and are rounded to whole numbers (counts_rounding)"
    if not first["cells"]:
        return f"{said}; the log of convert_to_chunks says how much that changed."
    change = first["after"] / first["before"] - 1 if first["before"] else 0
    return (
        f"{said}; of its first {first['cells']:,} cells the total of {first['before']:,.1f} became "
        f"{first['after']:,.0f} ({change:+.2%})."
    )
