"""Accuracy on real queries beside other tools; writes benchmarks/accuracy.tsv and accuracy.md.

    make benchmark-accuracy DATA=/data WORK=/some/scratch SEEDS="0 1 2"
    python benchmarks/accuracy.py --work /some/scratch --runs kang_ctrl_to_stim --seeds 0
    python benchmarks/accuracy.py --work /some/scratch --quick
    python benchmarks/accuracy.py --only tables

Each pair of an annotated reference and queries with known labels (accuracy_pairs.py) goes through the whole
workflow, with each seed (accuracy_runs.py), and through other tools (accuracy_others.py). Seed 0 adds more
difficult variations of pairs, and a query for every label of a query. Finished runs in the work folder are
not repeated; measured pairs and seeds replace their older rows in the table.
"""

import argparse
import os
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import accuracy_page
import accuracy_pictures
import accuracy_scores
from accuracy_others import REQUIREMENTS, label_by_others
from accuracy_pairs import PAIR, RUNS, Run
from accuracy_runs import RunError, make_run, run_folder, try_other_limits

PACKAGES = ("scvi-tools", "torch", "xgboost", "scikit-learn")
QUICK = "quick"
"""Folder of quick runs and their tables in the work folder, apart from the real ones."""


def main() -> None:
    """Make missing runs, gather the scores, write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", nargs="+", choices=[run.name for run in RUNS], metavar="RUN")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--again", nargs="*", metavar="RULE", help="finished runs too, from RULE on")
    parser.add_argument("--only", choices=["runs", "tables"])
    parser.add_argument(
        "--quick", action="store_true", help="few cells and epochs, tables in the work folder"
    )
    options = parser.parse_args()
    if options.only != "tables" and not (options.data and options.work):
        parser.error("name --data, or set CELLFERRY_TEST_DATA, and --work")
    if options.quick and options.only:
        parser.error("--quick makes runs and their tables; leave out --only")
    runs = runs_with_seeds(options.runs, options.seeds, quick=options.quick)
    finished = make(runs, options) if options.only != "tables" else []
    if options.quick and finished:
        table = options.work.resolve() / QUICK / "accuracy_quick.tsv"
        accuracy_scores.save(collected(finished, table.parent), machine(options.cores), table)
        accuracy_page.write_quick_page(table)
        print(f"the tables of this quick run: {table.with_suffix('.md')}")
    elif options.only is None and finished:
        work = options.work.resolve()
        accuracy_scores.save(collected(finished, work), machine(options.cores))
        run, seed = finished[0]
        if run == RUNS[0]:
            accuracy_pictures.draw(run_folder(work, run, seed), run)
    if options.only != "runs" and not options.quick:
        accuracy_page.write_pages()
    if options.only != "tables" and len(finished) < len(runs):
        sys.exit(f"error: {len(runs) - len(finished)} of {len(runs)} runs failed, see above")


def runs_with_seeds(names: list[str] | None, seeds: list[int], *, quick: bool) -> list[tuple[Run, int]]:
    """The named runs, or all; without names a quick benchmark has the plain pairs only.

    A quick benchmark has the first seed only.
    """
    chosen = [run for run in RUNS if (run.name in names if names else run.of == PAIR or not quick)]
    if quick:
        return [(replace(run, quick=True), seeds[0]) for run in chosen]
    return [(run, seed) for seed in seeds for run in chosen if run.is_made_with(seed)]


def make(runs: list[tuple[Run, int]], options: argparse.Namespace) -> list[tuple[Run, int]]:
    """Make missing runs, label their cells by other tools; return the successful runs."""
    tools = options.work.resolve()
    work = tools / QUICK if options.quick else tools
    finished = []
    for run, seed in runs:
        print(f"{datetime.now(UTC):%H:%M} {run.name}, seed {seed}", flush=True)
        try:
            make_run(run, seed, Path(options.data), work, cores=options.cores, again=options.again)
            try_other_limits(run, seed, work, cores=options.cores)
            label_by_others(run, seed, work, tools)
        except RunError as error:
            print(f"error: {error}", flush=True)
        else:
            finished.append((run, seed))
    return finished


def collected(runs: list[tuple[Run, int]], work: Path) -> list[dict]:
    """All scores of finished runs, as rows of the table."""
    return [row for run, seed in runs for row in accuracy_scores.collect(work, run, seed)]


def machine(cores: int) -> str:
    """The machine and the versions of the measurement."""
    versions = [f"{package} {version(package)}" for package in PACKAGES]
    pinned = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    versions += [line.replace("==", " ") for line in pinned if line.startswith("celltypist")]
    versions.insert(0, f"Python {platform.python_version()}")
    return f"{datetime.now(UTC):%B %Y}, {cores} cores, no GPU; {', '.join(versions)}"


if __name__ == "__main__":
    main()
