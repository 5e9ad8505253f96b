"""Labels of mixed depth in a reference, taken in four ways: writes benchmarks/mixed_depths.md.

    python benchmarks/mixed_depths.py --data /data --work /some/scratch    # an hour or two per seed

Half of the cells of each subclass of Zeisel's reference, drawn at random, are given as their class. Those of
fewer than twenty cells stay as they are: ten cells keep their subclass in any case, so that all runs can
predict the same ones. The query keeps its own. Runs have default settings; those finished in WORK are kept.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from accuracy_pairs import DATA, ZEISEL, ZEISEL_FINE
from accuracy_runs import TARGET, predictions_of, snakemake, write_if_changed
from measuring import ROOT, machine, markdown
from views import three

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.evaluation.metrics import summary
from cellferry.labels.vocabulary import UNKNOWN

PAGE = ROOT / "benchmarks" / "mixed_depths.md"
MIN_CELLS = 20
"""Cells of a label of which half are given as their class: twice what a label needs to be learned."""

SHARE = 0.5
NO_LABEL = "(none)"
ALL, TREE, DROPPED, PLAIN = "all subclasses", "hierarchy", "dropped", "plain"
WAYS = {
    ALL: "no cell is given as its class",
    TREE: "`labels.parents` names the class of each subclass: such cells train the sum of its subclasses",
    DROPPED: "the same hierarchy; such cells are unlabeled",
    PLAIN: "no hierarchy; classes are labels beside the subclasses",
}
ANSWER, MIXED = "answer", "mixed"
REFERENCE = "reference.h5ad"

Classes = dict[str, str]
"""The class of each label: of a subclass its own, of a class itself."""


def given_labels(labels: np.ndarray, classes: Classes, way: str, seed: int) -> np.ndarray:
    """Labels of reference cells as a run is given them.

    Parameters
    ----------
    labels, classes
        Each cell's subclass, and the class of each.
    way
        One of `WAYS`.
    seed
        Seed of which cells are given as their class: the same in all ways.
    """
    given = labels.astype(object)
    rng = np.random.default_rng(seed)
    for label in sorted(classes.keys() & set(labels)):
        cells = rng.permutation(np.flatnonzero(labels == label))
        if len(cells) >= MIN_CELLS and way != ALL:
            given[cells[: int(SHARE * len(cells))]] = NO_LABEL if way == DROPPED else classes[label]
    return given


def run(
    folder: Path, data: Path, reference: ad.AnnData, classes: Classes, *, way: str, seed: int, cores: int
) -> None:
    """Run the workflow on the reference with labels in one of the `WAYS`, unless that is done."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / DATA).exists():
        (folder / DATA).symlink_to(data)
    if not (folder / REFERENCE).exists():
        labels = reference.obs[ZEISEL_FINE[0].label].astype(str).to_numpy()
        reference.obs["given"] = pd.Categorical(given_labels(labels, classes, way, seed))
        reference.write_h5ad(folder / REFERENCE)
    subclasses, query = ZEISEL_FINE
    datasets = {
        subclasses.name: {"role": "reference", **subclasses.config, "path": REFERENCE, "label": "given"},
        query.name: {"role": "query", **query.config},
    }
    tree = {} if way == PLAIN else {"parents": {one: above for one, above in classes.items() if one != above}}
    config = {"datasets": datasets, "labels": {"missing": [NO_LABEL], **tree}, "seed": seed}
    if write_if_changed(folder / "config.yaml", config) or not (folder / TARGET).exists():
        snakemake(folder, [TARGET], folder / "config.yaml", cores)


def learned_labels(folder: Path) -> ClassifierLabels:
    """Labels and heads of the classifiers of a run."""
    return read_artifact(ClassifierLabels, folder / "results" / "reference" / "classifier" / "labels.json")


def scores_of(folder: Path, classes: Classes, scored: Iterable[str]) -> dict[tuple[str, str], float]:
    """Scores of a run's query by method and measure.

    Parameters
    ----------
    folder
        The run's.
    classes
        The class of each label.
    scored
        Subclasses that all runs can predict: over their cells subclasses are scored, over all cells classes.
    """
    heads = learned_labels(folder).heads
    columns = {ANSWER: "label", MIXED: "best_label", **{head: f"{head}_label" for head in heads}}
    path = predictions_of(folder, ZEISEL_FINE[1].name)
    cells = pd.read_parquet(path, columns=["truth", *columns.values()]).dropna(subset="truth")
    fine = cells[cells["truth"].isin(set(scored))]
    found = {}
    for method, column in columns.items():
        for level, those, at in (("subclass", fine, str), ("class", cells, in_classes(classes))):
            pairs = Counter(zip(those["truth"].map(at), those[column].map(at), strict=True))
            result = summary(pairs)
            found[method, f"{level} accuracy"] = result.accuracy
            found[method, f"{level} macro-F1"] = result.macro_f1
    subclasses = fine[~fine["label"].isin({UNKNOWN, *classes.values()})]
    accepted = cells[cells["label"] != UNKNOWN]
    at = in_classes(classes)
    found[ANSWER, "with a subclass"] = len(subclasses) / len(fine)
    found[ANSWER, "right of these"] = float((subclasses["label"] == subclasses["truth"]).mean())
    found[ANSWER, "with any label"] = len(accepted) / len(cells)
    right = accepted["label"].map(at) == accepted["truth"].map(at)
    found[ANSWER, "of the right class"] = float(right.mean())
    return found


def in_classes(classes: Classes) -> Callable[[str], str]:
    """Function that gives the class of a label, a class or `unknown`."""
    return (classes | {UNKNOWN: UNKNOWN}).__getitem__


def measure(data: Path, work: Path, seed: int, cores: int) -> dict[str, dict[tuple[str, str], float]]:
    """Scores of the runs of a seed, by the way that they take such cells."""
    reference = ad.read_h5ad(data / ZEISEL_FINE[0].path)
    query = ad.read_h5ad(data / ZEISEL_FINE[1].path)
    names = (ZEISEL_FINE[0].label, ZEISEL[0].label)
    both = pd.concat([cells.obs[list(names)].astype(str) for cells in (reference, query)])
    classes = dict(sorted(pair for pair in both.itertuples(index=False, name=None) if pair[0] != NO_LABEL))
    classes |= {above: above for above in classes.values()}
    folders = {way: work / way.replace(" ", "_") / f"seed_{seed}" for way in WAYS}
    for way, folder in folders.items():
        run(folder, data, reference, classes, way=way, seed=seed, cores=cores)
    scored = set.intersection(*(set(learned_labels(each).hierarchy.leaves) for each in folders.values()))
    return {
        way: scores_of(folder, classes, scored - set(classes.values())) for way, folder in folders.items()
    }


TEXT = """# Labels of mixed depth

{machine}. `python benchmarks/mixed_depths.py`, seed{seeds}. {means}

Zeisel's cells of mouse cortex and hippocampus, in seven classes; the query is a random 40 % of the dataset.
Half of the reference's cells of each subclass of {least} cells or more, drawn at random, are given as their
class:

{ways}

Whole runs with default settings. Subclasses are scored over the query's cells whose subclass all runs can
predict, classes over all of its cells that have a subclass; an answer is a class where the subclass is too
uncertain:

{answers}
Accuracy / macro-F1 of subclasses, by the answer (a class or `unknown` is wrong), the best label of all heads
together (*{mixed}*) and that of each head:

{subclasses}
Accuracy / macro-F1 of classes, where a subclass counts as its class:

{classes}"""


def page(scores: list[dict[str, dict[tuple[str, str], float]]], seeds: list[int]) -> str:
    """The tables, means of the seeds."""

    def mean(way: str, method: str, measure: str) -> str:
        value = float(np.mean([each[way][method, measure] for each in scores]))
        return "–" if np.isnan(value) else three(value)  # a share of no cells

    methods = list(dict.fromkeys(method for method, _ in scores[0][ALL]))

    def at_level(level: str) -> list[list[str]]:
        both = [f"{level} accuracy", f"{level} macro-F1"]
        return [
            [f"`{method}`" if method not in (ANSWER, MIXED) else method]
            + [" / ".join(mean(way, method, measure) for measure in both) for way in WAYS]
            for method in methods
        ]

    of_answer = ["with a subclass", "right of these", "with any label", "of the right class"]
    answers = [[way, *(mean(way, ANSWER, measure) for measure in of_answer)] for way in WAYS]
    return TEXT.format(
        machine=machine(),
        seeds=f"{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
        means="Means of the seeds." if len(seeds) > 1 else "One seed: a few hundredths can be chance.",
        least=MIN_CELLS,
        mixed=MIXED,
        ways="\n".join(f"- **{way}**: {what}." for way, what in WAYS.items()),
        answers=markdown(["", *of_answer], answers),
        subclasses=markdown(["", *WAYS], at_level("subclass")),
        classes=markdown(["", *WAYS], at_level("class")),
    )


def main() -> None:
    """Make the runs and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of cells and runs")
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    if not options.data:
        parser.error("name --data, or set CELLFERRY_TEST_DATA")
    scores = []
    for seed in options.seeds:
        scores.append(measure(Path(options.data).resolve(), options.work.resolve(), seed, options.cores))
        PAGE.write_text(page(scores, options.seeds[: len(scores)]), encoding="utf-8")
        print(PAGE.read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
