"""The steps of docs/extending.md work in a copy of the project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import hdf5plugin  # noqa: F401  opens files between rules
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from cellferry.config.available_heads import HEADS
from cellferry.heads import registry
from running import ROOT, command_line, finished

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
GENES = [f"GENE{number}" for number in range(30)]

LABELED = """
import json, sys
from pathlib import Path
from threadpoolctl import threadpool_limits
from mapped import counts_at, latents_at, train_heads
from cellferry.heads.classifier import Classifier

with threadpool_limits(1):
    train_heads(Path("."), [0, 1, 2] * 40, heads=("linear", "nearest_mean"))
    classifier = Classifier("classifier", threads=1)
    judged = classifier.predict_block([latents_at([0, 1, 2, 1])], None, intensities=False)
Path("found.json").write_text(json.dumps({name: p.tolist() for name, p in judged.by_head.items()}))
"""


def blocks(language):
    """Fenced blocks of the page that name a file in their first line: the file, and the rest."""
    found = re.findall(rf"^```{language}\n# (\S+)\n(.*?)^```$", PAGE, re.M | re.S)
    assert found
    return found


def edited(text, diff):
    """A text after the change of a block: its lines without + must be in it once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"stands {text.count(before)} times:\n{before}"
    return text.replace(before, after)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with the page's additions."""
    copy = tmp_path_factory.mktemp("extended")
    for name in ("scripts", "rules", "config", "docs", "envs", "profiles", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "pyproject.toml", "requirements.txt", "requirements-label.txt"):
        shutil.copy(ROOT / name, copy / name)
    for name, text in blocks("python"):
        assert not (copy / name).exists()
        (copy / name).write_text(text, encoding="utf-8")
    for name, diff in blocks("diff"):
        path = copy / name
        path.write_text(edited(path.read_text(encoding="utf-8"), diff), encoding="utf-8")
    return copy


def write_json_lines(path, counts):
    """Cells in the page's format."""
    lines = [json.dumps({"genes": GENES})]
    for number, row in enumerate(counts):
        held = {GENES[gene]: int(row[gene]) for gene in np.flatnonzero(row)[::-1]}
        lines.append(json.dumps({"cell": f"c{number}", "counts": held, "obs": {"type": "AB"[number % 2]}}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_new_format_goes_through_the_workflow(extended, tmp_path):
    counts = np.random.default_rng(0).poisson(0.7, size=(60, len(GENES)))
    write_json_lines(tmp_path / "cells.jsonl", counts)
    config = {
        "datasets": {
            "atlas": {"role": "reference", "path": "cells.jsonl", "label": "type", "chunks": 2},
            "mine": {"role": "query", "path": "cells.jsonl", "format": "json_lines", "chunks": 2},
        },
        "prediction": {"heads": ["linear", "nearest_mean"]},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = command_line(tmp_path, "results/merged/atlas.h5ad", "--cores", "2")
    command[command.index(str(ROOT / "Snakefile"))] = str(extended / "Snakefile")
    command += ["--configfile", str(tmp_path / "config.yaml")]
    result = finished(command)
    assert result.returncode == 0, result.stdout + result.stderr
    merged = anndata.read_h5ad(tmp_path / "results" / "merged" / "atlas.h5ad")
    np.testing.assert_array_equal(merged.X.toarray(), counts)
    assert merged.obs_names.tolist() == [f"c{number}" for number in range(60)]
    assert merged.obs["label"].tolist() == ["A", "B"] * 30


def test_a_new_head_is_trained_and_asked(extended, tmp_path):
    environment = {"PYTHONPATH": f"{extended / 'scripts'}:{extended / 'tests'}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", LABELED]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300)
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert list(found) == ["linear", "nearest_mean"]
    for probabilities in map(np.array, found.values()):
        assert probabilities.argmax(axis=1).tolist() == [0, 1, 2, 1]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def predictions(folder):
    """Predictions of an earlier run's query."""
    path = folder / "results" / "predictions" / "mine.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"label": ["B", "A", "unknown", "B"]}), path)


def test_a_new_rule_makes_its_file(extended, tmp_path):
    write_json_lines(tmp_path / "cells.jsonl", np.ones((4, len(GENES)), dtype=int))
    config = {
        "datasets": {
            "atlas": {"role": "reference", "path": "cells.jsonl", "label": "type"},
            "mine": {"role": "query", "path": "cells.jsonl"},
        }
    }
    predictions(tmp_path)
    counts = "results/label_counts/mine.tsv"
    command = command_line(tmp_path, counts, "--cores", "1", "--allowed-rules", "count_labels", config=config)
    command[command.index(str(ROOT / "Snakefile"))] = str(extended / "Snakefile")
    result = finished(command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / counts).read_text(encoding="utf-8") == "B\t2\nA\t1\nunknown\t1\n"


def test_checks_of_the_rules_pass_with_a_new_one(extended):
    workflow = [f"tests/workflow/test_{name}.py" for name in ("dry_run", "environments", "slurm_page")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "rule or label"]
    command += [*workflow, "tests/scripts/test_count_labels.py"]
    result = subprocess.run(command, cwd=extended, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_added_code_is_in_style(extended):
    added = [extended / name for name, _ in blocks("python")]
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", *added], cwd=extended, check=True)
    subprocess.run([ruff, "format", "--check", *added], cwd=extended, check=True)


def test_heads_that_can_be_set_are_those_that_there_are():
    assert tuple(registry.HEADS) == HEADS
