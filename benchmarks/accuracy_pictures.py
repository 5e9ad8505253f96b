"""Pictures of one pair for the docs: how far probabilities can be believed, and which labels are confused."""

import base64
from pathlib import Path

from accuracy_runs import TEST, Run
from accuracy_scores import evaluation
from cellferry.figures import confidence_curve, confusion_heatmap
from measuring import ROOT

RELIABILITY = ROOT / "docs" / "reliability.png"
CONFUSION = ROOT / "docs" / "confusion.png"


def draw(folder: Path, run: Run) -> None:
    """Draw the run in `folder`: its first query, and for reliability its held-back test too."""
    query, pair = next(iter(run.pairs.items()))
    scores = {f"{run.reference}, held back": evaluation(folder, TEST), pair: evaluation(folder, query)}
    bins = {name: found["confidence"] for name, found in scores.items()}
    errors = {name: found["forced"]["ece"] for name, found in scores.items()}
    write_picture(RELIABILITY, confidence_curve(bins, errors, kind="png"))
    write_picture(CONFUSION, confusion_heatmap(scores[pair]["confusion"], kind="png"))


def write_picture(path: Path, uri: str) -> None:
    """Write an image that stands in a data URI to a file."""
    path.write_bytes(base64.b64decode(uri.partition(",")[2]))
