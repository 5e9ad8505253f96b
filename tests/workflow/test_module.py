"""The workflow as a module of another one, from a git repository: the example of docs/module.md."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pages import blocks
from running import ROOT, finished, warm
from simulate import simulate_cells

(EXAMPLE,) = blocks("docs/module.md", "snakemake")
SOURCE = re.search(r"github\(.*\)", EXAMPLE)[0]
OWN_RULE = """
from scripts.own_names import COUNT


onstart:
    print("own start")


rule count:
    input:
        "results/predictions/pbmc_query.csv.gz",
    output:
        COUNT,
    shell:
        "zcat {input} | tail -n +2 | wc -l > {output}"
"""


def git(folder, *arguments):
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository of the project's files for a run, with a tag; a later commit removes them."""
    folder = tmp_path_factory.mktemp("repositories") / "cellferry"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("config", "envs", "report", "rules", "scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for part in ("Snakefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / part, folder)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Begin")
    git(folder, "tag", "v0.1.0")
    # Files of later commits, or without a commit, are not read.
    git(folder, "rm", "--quiet", "-r", "scripts", "rules")
    git(folder, "commit", "--quiet", "--message", "Take everything out")
    return folder


@pytest.fixture
def of_git(repository):
    return f'gitfile("{repository}", path="Snakefile", tag="v0.1.0")'


def snakemake(folder, *arguments, cache=None):
    """Run snakemake in a folder that has a Snakefile."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *map(str, arguments)]
    variables = {**warm(), "XDG_CACHE_HOME": str(cache or folder / "cache")}
    result = finished(command, cwd=folder, env=variables)
    return result.returncode, result.stdout + result.stderr


def write(folder, snakefile, config):
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "Snakefile").write_text(snakefile)


def small(folder):
    """Configuration of two small datasets, whose files it writes."""
    simulate_cells(60).write_h5ad(folder / "atlas.h5ad")
    atlas = {"role": "reference", "path": "atlas.h5ad", "label": "cell_type", "chunks": 1}
    return {"datasets": {"atlas": atlas, "patients": {"role": "query", "path": "atlas.h5ad", "chunks": 1}}}


def test_the_demo_runs_through_a_module_of_git(of_git, tmp_path):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    config["model"] = {"epochs": 20}
    write(tmp_path, EXAMPLE.replace(SOURCE, of_git) + OWN_RULE, config)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "own_names.py").write_text('COUNT = "own/count.txt"\n')
    code, said = snakemake(tmp_path, "all", "count")
    assert code == 0, said
    predictions = pd.read_csv(tmp_path / "results" / "predictions" / "pbmc_query.csv.gz")
    assert int((tmp_path / "own" / "count.txt").read_text()) == len(predictions) == 280
    assert (predictions["label"] != "unknown").mean() > 0.2
    assert "0.1.0" in (tmp_path / "results" / "report.html").read_text()
    # Both workflows' handlers, those above and below the module.
    assert "own start" in said
    assert re.search(r"^pbmc_query: accuracy 0\.\d+", said, re.M)
    assert not (tmp_path / "results" / ".runs").exists()

    code, said = snakemake(tmp_path, "all", "--report", "snakemake_report.html")
    assert code == 0, said
    assert "Read neighborhoods" in (tmp_path / "snakemake_report.html").read_text(encoding="utf-8")
    code, said = snakemake(tmp_path, "all", "count")
    assert code == 0, said
    assert "Nothing to be done" in said
    config["prediction"]["max_error"] = 0.2
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    code, said = snakemake(tmp_path, "all", "count", "--dry-run")
    assert code == 0, said
    assert "Changed: prediction.max_error (0.1 → 0.2). Made again: calibrate_classifier" in said


def test_a_release_of_github(repository, tmp_path):
    """From the clone that Snakemake keeps of it, as on a cluster's node without a network."""
    config = small(tmp_path)
    source = SOURCE.replace("OWNER", "somebody")
    write(tmp_path, EXAMPLE.replace(SOURCE, source), config)
    sources = tmp_path / "cache" / "snakemake" / "snakemake" / "source-cache"
    clone = sources / "snakemake-git-cache" / "github.com" / "somebody" / "cellferry"
    git(tmp_path, "clone", "--quiet", "--bare", repository, clone)
    code, said = snakemake(tmp_path, "results/inspected/patients.json", "results/datasets.tsv")
    assert code == 0, said
    copies = list((sources / "cellferry").iterdir())
    assert len(copies) == 1
    assert (copies[0] / "scripts" / "cellferry" / "__init__.py").exists()


def test_files_of_own_rules_and_a_part_of_the_configuration(of_git, tmp_path):
    config = small(tmp_path)
    config["datasets"]["atlas"]["batch"] = "BATCH"
    rule = 'rule atlas:\n    input: "source"\n    output: "atlas.h5ad"\n    shell: "false"\n'
    snakefile = EXAMPLE.replace(SOURCE, of_git).replace(
        "        config\n", '        config["mine"]["cells"]\n'
    )
    write(tmp_path, snakefile + rule, {"mine": {"cells": config}, "threads": 1})
    path = tmp_path / "config" / "config.yaml"
    # Text that YAML reads as another type is restored in that part, too.
    path.write_text(path.read_text().replace("BATCH", "no"))
    (tmp_path / "source").touch()
    os.utime(tmp_path / "source", (1_500_000_000, 1_500_000_000))
    code, said = snakemake(tmp_path, "all", "--dry-run")
    assert code != 0
    assert "datasets.atlas.batch: atlas.h5ad has no obs column 'no'" in said
    path.write_text(path.read_text().replace("batch: no", "batch: sample"))
    code, said = snakemake(tmp_path, "results/datasets.tsv", "--dry-run")
    assert code == 0, said
    assert re.search(r"^inspect_dataset +2$", said, re.M)


def test_a_rule_with_changes_of_ones_own(of_git, tmp_path):
    more = '\n\nuse rule inspect_dataset from cellferry with:\n    message: "Mine of {wildcards.dataset}"\n'
    more += "\n\nuse rule map_query from cellferry with:\n    threads: 1\n"
    write(tmp_path, EXAMPLE.replace(SOURCE, of_git) + more, small(tmp_path))
    code, said = snakemake(tmp_path, "results/inspected/patients.json")
    assert code == 0, said
    assert "Mine of patients" in said
    # It still has the record of its inputs.
    simulate_cells(70).write_h5ad(tmp_path / "atlas.h5ad")
    os.utime(tmp_path / "atlas.h5ad", (1_500_000_000, 1_500_000_000))
    code, said = snakemake(tmp_path, "results/inspected/patients.json", "--dry-run")
    assert code == 0, said
    assert "Changed: atlas.h5ad (another file). Made again: inspect_dataset" in said
    # The plan has changed rules, too.
    code, said = snakemake(tmp_path, "plan")
    assert code == 0, said
    assert re.search(r"^ *map_query +\d", said, re.M)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("use rule * from cellferry", "use rule * from cellferry as their_*", "take `as` out"),
        (
            "    config:\n        config\n",
            "    config: config\n    prefix: 'below'\n",
            "snakemake --directory",
        ),
    ],
)
def test_what_would_be_half_moved_is_refused(of_git, tmp_path, old, new, problem):
    write(tmp_path, EXAMPLE.replace(SOURCE, of_git).replace(old, new), small(tmp_path))
    code, said = snakemake(tmp_path, "--dry-run")
    assert code != 0
    assert problem in said
    assert "Traceback" not in said


def test_a_clone_is_used_as_it_is(tmp_path):
    write(tmp_path, EXAMPLE.replace(SOURCE, f'"{ROOT / "Snakefile"}"'), small(tmp_path))
    code, said = snakemake(tmp_path, "results/inspected/patients.json")
    assert code == 0, said
    assert not Path(tmp_path, "cache", "snakemake", "snakemake", "source-cache", "cellferry").exists()
