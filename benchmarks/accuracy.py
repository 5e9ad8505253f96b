"""Run the pairs of real datasets in tests/configs through the whole chain, and write docs/accuracy.md.

    python benchmarks/accuracy.py --data "$CELLFERRY_TEST_DATA" --work /some/scratch

Finished runs in the work folder are not repeated.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "tests" / "configs"
PACKAGES = ("scvi-tools", "torch", "xgboost", "scikit-learn")

# In memory, 2,000 variable genes of the shared ones: accuracy / macro-F1 of cells whose label the reference
# has. Measured on the same files by hand, once; the best and the usual of several methods tried.
IN_MEMORY = {
    ("pbmc3k_to_symphony", "symphony"): (".869/.825", ".856/.819", ".868/.825"),
    ("pbmc3k_to_kang", "kang_ctrl"): (".896/.890", ".860/.851", ".884/.879"),
    ("pbmc3k_to_kang", "kang_stim"): (".824/.821", ".289/.178", ".713/.648"),
    ("kang_ctrl_to_stim", "kang_stim"): (".860/.851", ".841/.837", ".831/.831"),
    ("celseq2_to_dropseq", "dropseq"): ("1/1", ".990/.993", "1/1"),
}
HEADER = """# Accuracy on real data

Accuracy / macro-F1 over the cells whose label the reference has. *Best label* takes every cell's best label;
*answer* counts `unknown` as wrong. The baseline is what the report shows beside every score: PCA and logistic
regression on the same training cells and genes. All runs use the default settings. The model never sees the
test part of the reference (a tenth of the cells, or one whole batch), nor any query label.

| reference → query | cells | best label | answer | unknown | right of those answered | baseline |
|---|---|---|---|---|---|---|
"""
HEADS = """
Each classifier alone, on the latent space, and what methods reach that hold everything in memory and train on
the whole reference (scVI there: 200 epochs, then surgery):

| reference → query | XGBoost | linear | neighbours | in memory: PCA + LR | scVI + XGBoost | scVI + kNN |
|---|---|---|---|---|---|---|
"""
FOOTER = """
Gaps under .02 are within what another seed gives. PBMC 3k → Kang stim is a shift of conditions (interferon
beta) that no reference cell shows, and one classifier alone can fail there. The held-back test of a
reference is easier than a query from another laboratory: compare the two.

Data: 10x PBMC 3k; Symphony's PBMC of three chemistries (Kang, J.B. et al. 2021); PBMC at rest and
under interferon beta (Kang, H.M. et al. 2018); sc_mixology cell lines (Tian et al. 2019).

"""


def run_pair(name: str, data: Path, work: Path) -> None:
    """Run one configuration in a folder of its own, in which `data` is the real data."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "data"
    if not link.exists():
        link.symlink_to(data.resolve())
    arguments = ["--profile", ROOT / "profiles" / "local", "--directory", folder]
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *arguments]
    subprocess.run([*command, "--configfile", CONFIGS / f"{name}.yaml"], check=True)


def rows(name: str, work: Path) -> tuple[list[str], list[str]]:
    """Rows of the two tables for the queries of one run, its held-back test first."""
    evaluations = sorted(
        (work / name / "results" / "evaluation").glob("*.json"), key=lambda p: p.stem != "test"
    )
    scores, heads = [], []
    reference, target = name.split("_to_")
    for path in evaluations:
        e = json.loads(path.read_text())
        is_test = path.stem == "test"
        query = f"{reference} → {f'its test, on genes of {target}' if is_test else path.stem}"
        answered = e["answered"]
        scores.append(
            f"| {query} | {e['truth_in_reference']} | {pair(e['forced'])} | {pair(answered)} "
            f"| {short(answered['rejected_share'])} | {short(answered['accuracy_among_accepted'])} "
            f"| {pair(e['baseline'])} |"
        )
        in_memory = IN_MEMORY.get((name, path.stem), ("", "", ""))
        by_head = [pair(e["heads"][head]) for head in ("xgboost", "linear", "neighbors")]
        heads.append(f"| {query} | {' | '.join([*by_head, *in_memory])} |")
    return scores, heads


def pair(scores: dict) -> str:
    """Accuracy and macro-F1 as in the field's tables: .874/.829."""
    return f"{short(scores['accuracy'])}/{short(scores['macro_f1'])}"


def short(value: float | None) -> str:
    """A share with three decimals and no leading zero."""
    return "–" if value is None else f"{value:.3f}".removeprefix("0")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("CELLFERRY_TEST_DATA"), required=False)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    options = parser.parse_args()
    names = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    for name in names:
        run_pair(name, options.data, options.work)
    tables = [rows(name, options.work) for name in names]
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    (ROOT / "docs" / "accuracy.md").write_text(
        HEADER
        + "".join(f"{row}\n" for scores, _ in tables for row in scores)
        + HEADS
        + "".join(f"{row}\n" for _, heads in tables for row in heads)
        + FOOTER
        + f"Made by `python benchmarks/accuracy.py --data DATA --work SCRATCH` with {versions}, Python "
        f"{platform.python_version()}, {os.cpu_count()} CPU cores, no GPU.\n",
        encoding="utf-8",
    )
