"""Write all scores to one table: dataset, level, label, head."""

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.json_files import read_artifact
from cellferry.core.atomic import complete
from cellferry.core.job import job

ALL = "(all)"
"""Name of the row of all labels."""

PER_LABEL = ["precision", "recall", "f1", "support"]
OVERALL = ["accuracy", "macro_f1", "ece"]
COLUMNS = ["dataset", "level", "label", "head", *PER_LABEL, *OVERALL]


def gather_scores(evaluations: list[str], table: str) -> None:
    """Write one row per dataset, level, label and head.

    Parameters
    ----------
    evaluations
        JSON files as `evaluate` writes them, named by their dataset.
    table
        The table to write (tsv). Head `answer` is the workflow's own, `forced` its best label of every cell,
        `baseline` the simple one, on the cells it was scored on. Rows of a label have precision, recall, F1
        and support; rows of `(all)` support, accuracy, macro-F1 and, where there are probabilities, ece.
    """
    n_rows = 0
    with complete(table) as path, open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for evaluation in evaluations:
            for row in score_rows(read_artifact(Evaluation, evaluation)):
                writer.writerow({"dataset": Path(evaluation).stem, **row})
                n_rows += 1
    print(f"{n_rows} scores of {len(evaluations)} datasets")


def score_rows(scores: Evaluation) -> Iterator[dict]:
    """The rows of one dataset; missing values are empty."""
    for level, at_level in scores.levels.items():
        for head, by_head in at_level.heads.items():
            overall = {name: getattr(by_head, name) for name in OVERALL}
            yield {"level": level, "label": ALL, "head": head, "support": at_level.cells, **overall}
            for label, per_label in by_head.labels.items():
                yield {"level": level, "label": label, "head": head, **asdict(per_label)}
    baseline = scores.baseline
    if baseline is None:
        return
    overall = {"accuracy": baseline.accuracy, "macro_f1": baseline.macro_f1}
    leaf = next(iter(scores.levels))
    yield {"level": leaf, "label": ALL, "head": "baseline", "support": baseline.n_cells, **overall}


if __name__ == "__main__":
    with job(snakemake):
        gather_scores(list(snakemake.input), snakemake.output[0])
