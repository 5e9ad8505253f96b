"""Real pairs of datasets: genes matched in all, accuracy as expected in one."""

import json

import pytest
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.json_files import read_artifact
from running import ROOT, snakemake

CONFIGS = ROOT / "tests" / "configs"


def run_config(name, folder, test_data, *targets):
    (folder / "data").symlink_to(test_data)
    result = snakemake(folder, *targets, "--cores", "2", "--configfile", CONFIGS / f"{name}.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "results"


@pytest.mark.parametrize(
    ("name", "kind", "common"),
    [
        ("pbmc3k_to_kang", "symbol", 1251),
        ("celseq2_plates_to_dropseq", "ensembl", 11533),
        ("celseq2_to_10x_symbols", "symbol", 694),
    ],
)
def test_genes_are_brought_together(name, kind, common, tmp_path, test_data):
    results = run_config(name, tmp_path, test_data, "results/genes.json")
    genes = json.loads((results / "genes.json").read_text())
    assert genes["namespace"] == kind
    assert genes["n_common"] == common


def test_the_answer_is_right(tmp_path, test_data):
    """Best labels and decided labels; with one seed, numbers of unknown cells differ between processors.

    Cell lines by two technologies are in test_invariance.py.
    """
    results = run_config("kang_ctrl_to_stim", tmp_path, test_data)
    scores = read_artifact(Evaluation, results / "evaluation" / "kang_stim.json")
    assert scores.forced.accuracy >= 0.88
    assert scores.answered.accuracy_among_accepted >= 0.88
