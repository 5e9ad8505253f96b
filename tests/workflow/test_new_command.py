"""`make new`: what it writes passes the dry run and the plan as it stands."""

import subprocess
import sys

import pytest
from running import ROOT
from simulate import simulate_cells


def new(folder, reference, query):
    program = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "cellferry.commands.new",
        "--name",
        "mine",
        "--folder",
        folder,
    ]
    command = [*program, "--reference", reference, "--query", query]
    result = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "scripts"), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "mine.yaml"


def dry_run(run, config):
    result = run("--dry-run", "--cores", "1", "--configfile", config)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "train_reference_model" in result.stdout + result.stderr


def test_simulated_cells(run):
    simulate_cells(300, batches=("a", "b")).write_h5ad(run.folder / "atlas.h5ad")
    simulate_cells(100).write_h5ad(run.folder / "blood.h5ad")
    dry_run(run, new(run.folder, "atlas.h5ad", "blood.h5ad"))


@pytest.mark.parametrize(
    ("reference", "query"),
    [
        ("pbmc/ref_pbmc3k.h5ad", "pbmc/muscat_example_sce.rda"),
        ("cellmix/ref_celseq2_5cl.h5ad", "cellmix/cepo_cellbench.rda"),
        ("levine32_cytof/Levine_H1.fcs", "levine32_cytof/Levine_H2.fcs"),
        ("formats/citeseq_AML_SCUBA/AML_Seurat.rda", "formats/citeseq_AML_SCUBA/AML_h5ad.h5ad"),
    ],
)
def test_real_files(run, test_data, reference, query):
    dry_run(run, new(run.folder, test_data / reference, test_data / query))
