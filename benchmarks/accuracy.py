"""Labels of real queries beside those of other tools: writes benchmarks/accuracy.tsv and accuracy.md.

    make benchmark-accuracy DATA=/data WORK=/some/scratch SEEDS="0 1 2"
    python benchmarks/accuracy.py --work /some/scratch --runs kang_ctrl_to_stim --seeds 0
    python benchmarks/accuracy.py --only tables

Each pair of a labeled reference and queries with known labels goes through the whole workflow, with each
seed; with seed 0 every label of a query is a query of its own beside it. Finished runs in the work folder are
not repeated; measured pairs and seeds take the place of their older rows in the table.
"""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import accuracy_pictures
import accuracy_scores
import accuracy_tables
from accuracy_runs import REQUIREMENTS, RUNS, make_run, run_celltypist, run_folder

PACKAGES = ("scvi-tools", "torch", "xgboost", "scikit-learn")


def main() -> None:
    """Run what is missing, gather the scores, write the tables and pictures."""
    names = [run.name for run in RUNS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", nargs="+", choices=names, default=names, metavar="RUN")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--again", nargs="*", metavar="RULE", help="finished runs too, from RULE on")
    parser.add_argument("--only", choices=["runs", "tables"])
    options = parser.parse_args()
    runs = [(run, seed) for seed in options.seeds for run in RUNS if run.name in options.runs]
    if options.only != "tables":
        if not options.data or not options.work:
            parser.error("name --data, or set CELLFERRY_TEST_DATA, and --work")
        data, work = Path(options.data), options.work.resolve()
        for run, seed in runs:
            print(f"{datetime.now(UTC):%H:%M} {run.name}, seed {seed}", flush=True)
            make_run(run, seed, data, work, cores=options.cores, again=options.again)
            run_celltypist(run, seed, work)
    if options.only is None:
        rows = [row for run, seed in runs for row in accuracy_scores.collect(work, run, seed)]
        accuracy_scores.save(rows, machine(options.cores))
        run, seed = runs[0]
        if run == RUNS[0]:
            accuracy_pictures.draw(run_folder(work, run, seed), run)
    if options.only != "runs":
        accuracy_tables.write_pages()


def machine(cores: int) -> str:
    """What the table was measured on, and with which versions."""
    versions = [f"{package} {version(package)}" for package in PACKAGES]
    pinned = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    versions += [line.replace("==", " ") for line in pinned if line.startswith("celltypist")]
    versions.insert(0, f"Python {platform.python_version()}")
    return f"{datetime.now(UTC):%B %Y}, {cores} cores, no GPU; {', '.join(versions)}"


if __name__ == "__main__":
    main()
