"""Queries mapped with and without fitting; writes benchmarks/as_it_is.md.

    python benchmarks/as_it_is.py --data /data --work /some/scratch    # an hour or two

Each pair of accuracy.py is run with default settings. The trained reference then labels its queries again
without `surgery.fit`, as `make label` does with a packed reference. Finished runs in WORK are not repeated.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from accuracy_pairs import DATA, PAIR, RUNS, Run
from accuracy_runs import TARGET, snakemake, write_if_changed
from measuring import ROOT, machine

PAGE = ROOT / "benchmarks" / "as_it_is.md"
SEED = 0
LEFT_OUT = "results/reference/left_out.json"
"""Further keys of a run with `pretrained`."""

SCORES = ("best label", "its macro-F1", "answer", "unknown")


def label(run: Run, work: Path, data: Path, *, cores: int) -> tuple[Path, Path]:
    """Run a pair, and label its queries by the unfitted model too; return both folders."""
    config = run.config(SEED, data)
    fitted, as_it_is = (work / run.name / how for how in ("fitted", "as_it_is"))
    queries = {name: config["datasets"][name] for name in run.pairs}
    without = {"pretrained": str(fitted / "results"), "surgery": {"fit": False}, "datasets": queries}
    for folder, keys, targets in ((fitted, {}, [TARGET, LEFT_OUT]), (as_it_is, without, [TARGET])):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / DATA).exists():
            (folder / DATA).symlink_to(data.resolve())
        run.write_files(folder, data)
        changed = write_if_changed(folder / "config.yaml", config | keys)
        if changed or not all((folder / target).exists() for target in targets):
            snakemake(folder, targets, folder / "config.yaml", cores)
    return fitted, as_it_is


def scores_of(folder: Path, query: str) -> list[float]:
    """Accuracy and macro-F1 of the best label, accuracy of the answer, share of unknown cells."""
    found = json.loads((folder / f"results/evaluation/{query}.json").read_text(encoding="utf-8"))
    best, answered = found["forced"], found["answered"]
    return [best["accuracy"], best["macro_f1"], answered["accuracy"], answered["rejected_share"]]


def row(name: str, fitted: list[float], as_it_is: list[float]) -> str:
    """A line of the table: each score fitted, and as it is."""
    return (
        f"| {name} | "
        + " | ".join(f"{a:.3f} | {b:.3f}" for a, b in zip(fitted, as_it_is, strict=True))
        + " |"
    )


TEXT = """# Fitted and unfitted models

Queries mapped by a reference's model as it is (`surgery.fit: false`, as in `make label`), and by the model
fitted to their batches (both mappings vote then). The classifiers are the same. Pairs of `accuracy.py`,
seed {seed}. Made with `python benchmarks/as_it_is.py`. {machine}

{table}

Unfitted, the best label is right in more cells (by over .005) on {better} of {pairs} pairs and in fewer on
{worse}; the largest gain is {gain:.3f}, the largest loss {loss:.3f}.
"""


def page(pairs: dict[str, tuple[list[float], list[float]]]) -> str:
    """The table of all pairs."""
    before, after = zip(*pairs.values(), strict=True)
    change = [ours[0] - fitted[0] for fitted, ours in pairs.values()]
    means = [[statistics.mean(each) for each in zip(*which, strict=True)] for which in (before, after)]
    header = " | ".join(f"{score}, fitted | as it is" for score in SCORES)
    lines = [f"| reference → query | {header} |", "|---" * (1 + 2 * len(SCORES)) + "|"]
    lines += [row(name, *scores) for name, scores in pairs.items()]
    return TEXT.format(
        seed=SEED,
        machine=machine(),
        table="\n".join([*lines, row("mean", *means)]),
        pairs=len(pairs),
        better=sum(each > 0.005 for each in change),
        worse=sum(each < -0.005 for each in change),
        gain=max(change),
        loss=-min(change),
    )


def main() -> None:
    """Make the runs and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("CELLFERRY_TEST_DATA"))
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    pairs = {}
    for run in RUNS:
        if run.of != PAIR or run.config(SEED, options.data).get("modality") == "cytometry":
            continue
        folders = label(run, options.work.resolve(), options.data.resolve(), cores=options.cores)
        for query, name in run.pairs.items():
            pairs[name] = tuple(scores_of(folder, query) for folder in folders)
            print(row(name, *pairs[name]), flush=True)
            PAGE.write_text(page(pairs), encoding="utf-8")


if __name__ == "__main__":
    main()
