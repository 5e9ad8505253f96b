"""Score a query's predictions against known labels, beside a simple baseline."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from cellferry.artifacts.evaluation import Baseline, Confusion
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.artifacts.latents import read_codes
from cellferry.core.job import job
from cellferry.errors import InputError
from cellferry.evaluation.baseline import expression_of, sign_test, train_baseline
from cellferry.evaluation.metrics import summary
from cellferry.evaluation.summary import describe, of_leaves
from cellferry.features.marker_values import holds_intensities
from cellferry.labels.hierarchy import COARSER, IN_REFERENCE, LabelHierarchy
from cellferry.labels.suggestions import parents_by_mapping, suggestion_lines
from cellferry.labels.vocabulary import MAPPINGS
from cellferry.resources.budget import Budget
from cellferry.resources.memory import (
    BASELINE_BYTES,
    MARKERS_READ_MB,
    MAX_BASELINE_CELLS,
    MB,
    MEMORY_MODELS,
    baseline_cap,
)
from cellferry.sampling.sketch import random_sketch, sketch_values


def evaluate(
    predictions: str,
    reference: str | None,
    common: str,
    classifier: str,
    evaluation: str,
    *,
    seed: int,
    budget: Budget,
) -> None:
    """Write the scores of `predictions`, which has a column `truth`, to the json file `evaluation`.

    Parameters
    ----------
    predictions
        Parquet file of a query's predictions.
    reference, common
        Counts or marker values of the reference's training cells and of the query's, for the baseline, which
        is left out without the reference's.
    classifier
        Folder of the classifiers.
    evaluation
        The file to write.
    seed, budget
        Seed of the baseline; memory of the job.

    Raises
    ------
    InputError
        If no cell has a truth.
    RuntimeError
        If the predictions are not those of the cells of `common`.
    """
    columns = pq.read_schema(predictions).names
    if "truth" not in columns:
        name = Path(predictions).stem
        raise InputError(
            f"{predictions}: no cell of {name} has a label to be scored by; if it is one of your datasets, "
            f"correct or remove datasets.{name}.label"
        )
    known = read_artifact(ClassifierLabels, Path(classifier) / "labels.json")
    mappings = [mapping for mapping in MAPPINGS if f"{mapping}_label" in columns]
    scores = describe(predictions, known.hierarchy, [*known.heads, *mappings])
    if reference:
        with H5adReader(reference) as cells:
            baseline = baseline_scores(predictions, cells, common, known.hierarchy, budget=budget, seed=seed)
        scores = replace(scores, baseline=baseline)
    print(
        f"{scores.with_truth} of {scores.n_cells} cells have a truth; accuracy {scores.forced.accuracy}, "
        f"of the baseline {scores.baseline.accuracy if scores.baseline else 'not known'}"
    )
    for key in ("labels_not_in_reference", "labels_not_predictable"):
        if labels := asdict(scores)[key]:
            print(f"{key.replace('_', ' ')}: {labels}")
    for line in suggestion_lines(
        mapped_parents(scores.confusion, known.hierarchy), "by what they were called"
    ):
        print(line)
    write_artifact(scores, evaluation)


def mapped_parents(confusion: Confusion, tree: LabelHierarchy) -> dict[str, str]:
    """Labels below each true label, from its cells or from the reference's hierarchy."""
    cells = {
        (confusion.truth[row], confusion.predicted[column]): n
        for row, column, n in confusion.cells
        if tree.kind(confusion.truth[row]) != COARSER
    }
    return parents_by_mapping(cells, tree.leaves)


def baseline_scores(
    predictions: str, reference: H5adReader, common: str, tree: LabelHierarchy, *, budget: Budget, seed: int
) -> Baseline:
    """Scores of the baseline on a sketch of the query's cells with labels of the reference."""
    with H5adReader(common) as query:
        values = sum(sketch_values(file, MAX_BASELINE_CELLS) for file in (reference, query))
        n_cells = reference.n_cells + query.n_cells
        intensities = holds_intensities(reference)
        n_labels = len(reference.categories("label"))
        learned = min(reference.n_cells, baseline_cap(n_labels=n_labels))
        more_mb = BASELINE_BYTES * learned * n_labels // MB
        more_mb += MARKERS_READ_MB if intensities else 0
        budget.require(MEMORY_MODELS["evaluate"], cells=n_cells, values=values, more_mb=more_mb)
        codes, names = read_codes([predictions], "truth")
        best_codes, best_names = read_codes([predictions], "best_label")
        if len(codes) != query.n_cells:
            raise RuntimeError(
                f"{predictions} has {len(codes)} cells and {common} {query.n_cells}; delete the predictions "
                "and run snakemake again"
            )
        # One entry more than names: code -1 (no truth) indexes the last.
        scored = np.array([tree.kind(name) == IN_REFERENCE for name in names] + [False])[codes]
        rows = random_sketch(scored, MAX_BASELINE_CELLS, seed=seed)
        truth = np.array(names, dtype=object)[codes[rows]]
        best = np.array(best_names, dtype=object)[best_codes[rows]]
        coarse = {name for name in reference.categories("label") if tree.is_coarse(name)}
        model = train_baseline(reference, seed=seed, left_out=coarse)
        predicted = model.predict(expression_of(query, rows))
    seen = "values of the backbone's markers" if intensities else "log1p CP10k of the common genes"
    pairs = Counter(zip(truth, predicted, strict=True))
    is_right, best_is_right = predicted == truth, best == truth
    only_baseline = int(np.count_nonzero(is_right & ~best_is_right))
    only_cellferry = int(np.count_nonzero(best_is_right & ~is_right))
    return Baseline(
        **asdict(summary(pairs)),
        method=f"{seen}, PCA, logistic regression",
        n_cells=len(rows),
        levels={level: summary(of_leaves(pairs, tree, level)) for level in tree.names},
        cellferry_on_the_same_cells=summary(Counter(zip(truth, best, strict=True))),
        only_baseline=only_baseline,
        only_cellferry=only_cellferry,
        p_value=sign_test(only_baseline, only_cellferry),
    )


if __name__ == "__main__":
    with job(snakemake):
        evaluate(
            snakemake.input.predictions,
            snakemake.input.reference or None,
            snakemake.input.common,
            snakemake.input.classifier,
            snakemake.output.evaluation,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
        )
