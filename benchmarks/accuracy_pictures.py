"""Pictures of one pair for the docs: calibration of probabilities, and confused labels."""

from pathlib import Path

from accuracy_pairs import Run
from accuracy_runs import TEST
from accuracy_scores import evaluation
from cellferry.report.figures import confusion_heatmap, reliability_curve, save
from measuring import ROOT

RELIABILITY = ROOT / "docs" / "reliability.png"
CONFUSION = ROOT / "docs" / "confusion.png"


def draw(folder: Path, run: Run) -> None:
    """Draw the first query of the run in `folder`, and its held-out test's reliability."""
    query, pair = next(iter(run.pairs.items()))
    scores = {f"{run.called}, held out": evaluation(folder, TEST), pair: evaluation(folder, query)}
    bins = {name: found.confidence for name, found in scores.items()}
    errors = {name: found.forced.ece for name, found in scores.items()}
    reliability, _ = reliability_curve(bins, errors)
    save(reliability, RELIABILITY)
    confusion, _ = confusion_heatmap(scores[pair].confusion)
    save(confusion, CONFUSION)
