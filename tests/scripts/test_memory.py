"""The data rules' memory: flat in the number of cells, and as predicted."""

import subprocess
import sys
from pathlib import Path

import pytest
from cellferry.core.logs import peak_in
from cellferry.resources.expected_jobs import Job
from example_artifacts import write_features

ROOT = Path(__file__).parents[2]
CELLS = (6_000, 18_000)
GENES = 5_000
MAX_GROWTH_MB = 60
"""For three times as many cells, 288 MB of counts instead of 96; the smaller number fills blocks already."""

CHAIN = """
import sys
from cellferry.resources.budget import Budget
from cellferry.core.logs import logged
rule = sys.argv[1]
with logged(f"{rule}.log"):
    if rule in ("inspect_dataset", "convert_to_chunks"):
        from cellferry.config.schema import fill_defaults
        from convert_to_chunks import convert_to_chunks
        from inspect_dataset import inspect_dataset
        from cellferry.labels.names import LabelNames
        own = {"role": "query", "path": "blood.h5ad", "chunks": 1, "jobs": 1}
        fill_defaults({"datasets": {"blood": own}})
    if rule == "inspect_dataset":
        inspect_dataset("blood.json", name="blood", config=own, label_names=LabelNames({}, []))
    elif rule == "convert_to_chunks":
        convert_to_chunks(
            "blood.json", "chunks", name="blood", config=own, label_names=LabelNames({}, []), job=0,
            budget=Budget(2000), scratch=None,
        )
    elif rule == "merge_h5ad":
        from merge_h5ad import merge_h5ad
        merge_h5ad(["chunks"], "merged.h5ad", materialize=True, budget=Budget(2000))
    elif rule == "subset_common_genes":
        from cellferry.features.subset import GeneFiles
        from subset_common_genes import subset_common_genes
        subset_common_genes(
            "merged.h5ad", GeneFiles("genes.tsv", "genes.json"), "common.h5ad",
            inspected=None, name="blood", gene_id="auto", min_common=0.1, labeled_only=False,
            max_cells=None, seed=0,
            budget=Budget(2000),
        )
"""
RULES = ("inspect_dataset", "convert_to_chunks", "merge_h5ad", "subset_common_genes")


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """Peak memory in MB by rule and number of cells, each rule in a process of its own; and stored values."""
    found = {}
    for cells in CELLS:
        folder = tmp_path_factory.mktemp(f"cells{cells}")
        simulate = f"""
from simulated_counts import simulate_counts
simulate_counts("blood.h5ad", n_cells={cells}, n_genes={GENES}, n_types=3, expressed_share=0.4)
"""
        run(folder, simulate)
        (folder / "genes.tsv").write_text("gene\n" + "".join(f"GENE{n}\n" for n in range(0, GENES, 5)))
        write_features(folder / "genes.json", ("blood", "index"))
        for rule in RULES:
            run(folder, CHAIN, rule)
            found[rule, cells] = peak_in((folder / f"{rule}.log").read_text())
    return found


def run(folder, code, *arguments):
    path = f"{ROOT / 'scripts'}:{ROOT / 'benchmarks'}"
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, cwd=folder, env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}, check=True)


@pytest.mark.parametrize("rule", RULES)
def test_three_times_as_many_cells_take_no_more_memory(peaks, rule):
    few, many = (peaks[rule, cells] for cells in CELLS)
    assert many - few < MAX_GROWTH_MB


@pytest.mark.parametrize("rule", RULES)
def test_memory_is_as_predicted(peaks, rule):
    predicted = Job(rule, cells=CELLS[1], values=2_000 * CELLS[1], held_cells=CELLS[1]).peak_mb(2000)
    assert abs(predicted / peaks[rule, CELLS[1]] - 1) < 0.3
