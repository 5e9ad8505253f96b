"""What a reader of the report should not overlook."""

from .counted import LabelCounts

LOW_ACCURACY = 0.8
MUCH_UNKNOWN = 0.2
FEW_COMMON_GENES = 0.5
BASELINE_MARGIN = 0.02


def remarks(answers: dict[str, LabelCounts], evaluations: dict[str, dict], genes: dict) -> list[str]:
    """Sentences on what lowers the trust in the answer; none where nothing does.

    Parameters
    ----------
    answers
        Counted labels by query.
    evaluations
        Scores by part, as `evaluate` writes them.
    genes
        What `select_genes` reports.
    """
    found = []
    for name, scores in evaluations.items():
        accuracy, baseline = scores["forced"]["accuracy"], scores["baseline"]["accuracy"]
        if accuracy is None:
            continue
        if accuracy < LOW_ACCURACY:
            found.append(f"{name}: only {accuracy:.1%} of the cells with a known truth got the right label.")
        same = scores["baseline"]["cellferry_on_the_same_cells"]["accuracy"]
        if baseline is not None and same is not None and same < baseline - BASELINE_MARGIN:
            found.append(
                f"{name}: the simple baseline is right more often ({baseline:.1%} against {same:.1%}); "
                "the reference model may have been trained too briefly or on too few cells."
            )
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
    return found
