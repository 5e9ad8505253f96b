"""`make new`: its configuration passes the dry run and the plan unchanged."""

import subprocess
import sys

import pytest
from running import ROOT
from simulate import simulate_cells


def new(folder, reference, query, *, problem=None):
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
    said = result.stdout + result.stderr
    assert result.returncode == (1 if problem else 0), said
    assert (problem or "") in said
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
        ("levine32_cytof/Levine_H1.fcs", "levine32_cytof/Levine_H2.fcs"),
        ("formats/citeseq_AML_SCUBA/AML_Seurat.rda", "formats/citeseq_AML_SCUBA/AML_h5ad.h5ad"),
    ],
)
def test_real_files(run, test_data, reference, query):
    dry_run(run, new(run.folder, test_data / reference, test_data / query))


def test_ids_and_symbols_need_a_table(run, test_data):
    """Both kinds of names are reported, and with `genes.map` the same configuration can be run."""
    files = (test_data / "cellmix" / name for name in ("ref_celseq2_5cl.h5ad", "cepo_cellbench.rda"))
    problem = (
        "it has human symbols (AP000902.1, TNNI3, AL049870.3, ...), ref_celseq2_5cl has human Ensembl ids"
    )
    config = new(run.folder, *files, problem=problem)
    table = test_data / "formats" / "GENCODEv44_Gene_id2name.csv"
    config.write_text(config.read_text() + f"genes:\n  map: {table}\n")
    dry_run(run, config)
