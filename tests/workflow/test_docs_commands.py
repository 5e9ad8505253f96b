"""The commands of the pages, each run unchanged or checked in another way.

Every command of a page is run unchanged, in a copy of the project, or is in `KNOWN` with the reason and
another check. Other commands fail.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pages import PAGES, RESULT, SHELLS, blocks, is_written, prose
from placeholders import write_placeholders
from running import ROOT
from simulate import simulate_cells


def simple_commands(line: str) -> Iterator[str]:
    """The commands that a line of shell joins by && or ;, as text and without comments."""
    lexer = shlex.shlex(line, posix=False, punctuation_chars="&;|")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("&;|"):
            yield " ".join(words)
            words = []
        else:
            words.append(word)
    if words:
        yield " ".join(words)


def commands_of(page) -> list[str]:
    """Commands of a page's shell blocks; in a `console` those behind a $."""
    found = []
    for language in SHELLS:
        for code in blocks(page, language):
            lines = code.replace("\\\n", " ").splitlines()
            if language == "console":
                lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
            found += [command for line in lines for command in simple_commands(line)]
    return found


def mentioned_in(page) -> list[str]:
    """Commands named in running text."""
    return re.findall(r"`((?:\.venv/bin/)?(?:snakemake|make) [^`\n]*)`", prose(page))


class Copy:
    """A copy of the project, with its programs, for running commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        everywhere = (".git", ".venv", ".uv", ".snakemake", "*_work", "__pycache__", ".*_cache")
        ignored = shutil.ignore_patterns(*everywhere)
        # Only at the top: the package has a folder resources, too.
        of_runs = {"results", "logs", "resources", "demo"}

        def left_out(parent: str, names: list[str]) -> set[str]:
            return ignored(parent, names) | (of_runs if Path(parent) == ROOT else set())

        shutil.copytree(ROOT, folder, ignore=left_out)
        environment = folder / ".venv"
        environment.mkdir()
        for entry in Path(sys.prefix).iterdir():
            if entry.name != ".installed":
                (environment / entry.name).symlink_to(entry)
        # make installs nothing if these exist.
        (environment / ".installed").touch()
        (folder / ".uv" / "bin").mkdir(parents=True)
        (folder / ".uv" / "bin" / "uv").touch()
        self.run = functools.cache(self._run)

    def _run(self, command: str) -> subprocess.CompletedProcess:
        """Run a command once; /data of the pages is the copy's folder here."""
        command = re.sub(r"(?<![\w.])/data/", f"{self.folder}/data/", command)
        self._provide(command)
        path = f"{self.folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def _provide(self, command: str) -> None:
        """Make the files that a reader has: datasets, and a configuration."""
        for path in map(Path, re.findall(rf"{self.folder}/data/[\w./-]+\.h5ad", command)):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._cells().write_h5ad(path)
        for name in re.findall(r"(?:--configfile |CONFIG=)(\S+)", command):
            config = self.folder / name
            if name.startswith("config/examples/"):
                write_placeholders(yaml.safe_load(config.read_text(encoding="utf-8")), self.folder)
            elif not config.exists():
                cells = self.folder / "data" / "cells.h5ad"
                cells.parent.mkdir(exist_ok=True)
                self._cells().write_h5ad(cells)
                atlas = {"role": "reference", "path": str(cells), "label": "cell_type"}
                datasets = {"atlas": atlas, "patients": {"role": "query", "path": str(cells)}}
                config.parent.mkdir(parents=True, exist_ok=True)
                config.write_text(yaml.safe_dump({"datasets": datasets}), encoding="utf-8")

    @staticmethod
    def _cells():
        cells = simulate_cells(300, batches=("d1", "d2", "d3"))
        cells.obs["donor_id"] = cells.obs["sample"]
        return cells


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("docs") / "cellferry")


def works(copy, command):
    """Run unchanged."""
    if re.search(r"(CONFIG=|--configfile )config/examples/", command):
        return makes_plans(copy, command) if command.startswith("make") else dry_run(copy, command)
    result = copy.run(command)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return None


def says_what_it_finds(copy, command):
    """Run; it may report problems of this machine, but must not fail itself."""
    result = copy.run(command)
    said = result.stdout + result.stderr
    assert result.returncode in (0, 2), said
    assert said.strip()
    assert "Traceback" not in said
    assert "No rule to make target" not in said


def dry_run(copy, command):
    """Run with snakemake's -n."""
    command = re.sub(r" --report( [\w./-]+\.(html|zip))?", "", command)
    dry = command if re.search(r" (-n|--dry-run)\b", command) else f"{command} -n"
    if not re.search(r" (--profile|--cores|-c|-j) ?", dry):
        dry += " --cores 1"
    result = copy.run(dry)
    assert result.returncode == 0, f"{dry}\n{result.stdout}{result.stderr}"


def makes_plans(copy, command):
    """Run with make's -n: the target, its scripts and profiles exist."""
    result = copy.run(command.replace("make ", "make -n ", 1))
    said = result.stdout.replace("\\\n", " ")
    assert result.returncode == 0, f"{command}\n{said}{result.stderr}"
    for line in said.splitlines():
        for script in re.findall(r"\S*python3? ((?:[\w.-]+/)*\w+\.py)", line):
            assert (copy.folder / script).is_file(), line
        # make label has written its configuration by then.
        if "/snakemake " in line and not re.search(r'--lint|--rulegraph|--configfile +"labels/', line):
            dry_run(copy, line.strip().removeprefix("@"))


def names_files(copy, command):
    """The project's files in it exist."""
    named = re.findall(r"(?<![\w/.])(?:benchmarks|tests|config|profiles|envs|docs|scripts)/[\w./-]+", command)
    named += re.findall(r"(?<![\w/.])environment\.yaml", command)
    assert named, command
    assert all((ROOT / name).exists() for name in named), command


def names_the_environment(copy, command):
    """The environment has the name in its file."""
    name = yaml.safe_load((ROOT / "environment.yaml").read_text(encoding="utf-8"))["name"]
    assert command.split()[2] == name


def builds_an_image(copy, command):
    """The recipe is there, and has the stage that is named."""
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stage = re.search(r"--target (\S+)", command)
    assert not stage or re.search(rf"^FROM \S+ AS {stage[1]}$", recipe, re.M), command


def wraps_a_command(copy, command):
    """The submitted command is checked like any other."""
    check(copy, re.search(r"--wrap +[\"'](.*)[\"']", command)[1])


def names_results(copy, command):
    """Rules write the results in it."""
    assert all(is_written(path) for path in RESULT.findall(command)), command


def nothing(copy, command):
    """A program of the system or of the reader."""


SNAKEMAKE = r"(?:\w+=\S+ )*(?:\S*/)?snakemake "
SHIPPED = "tests/workflow/test_plan_command.py runs it on the shipped configuration"
# The first match is used: pattern of a command, its check, and the reason why it is not run.
KNOWN = [
    (r"make plan( CONFIG=config/config\.yaml| PROFILE=\S+)*$", makes_plans, SHIPPED),
    (SNAKEMAKE + r"(?!.*--configfile)(.* )?plan\b", dry_run, SHIPPED),
    (r"make (plan|new)\b", works, ""),
    (r"make doctor\b", says_what_it_finds, "this machine has no cluster"),
    (r"make (pack|label)\b", makes_plans, "needs a finished run; tests/workflow/test_chain.py packs one"),
    (r"make compare\b", makes_plans, "needs two finished runs; tests/unit/test_compare.py writes them"),
    (r"make fetch\b", makes_plans, "needs the network; tests/unit/test_references_command.py has a server"),
    (r"make references\b", works, ""),
    (
        r"make import-model\b",
        makes_plans,
        "needs a model of others; tests/unit/test_import_model.py trains some",
    ),
    (r"make demo\b", makes_plans, "takes minutes; the SLURM tests run the same chain"),
    (r"make docs\b", makes_plans, "runs the demo; tests/workflow/test_website.py builds the pages"),
    (r"make (test|lint)\b", makes_plans, "this is one of its tests"),
    (r"make (scale|benchmark-accuracy|fuzz)\b", makes_plans, "takes hours"),
    (r"make (rulegraph|lock|clean)\b", makes_plans, "needs graphviz or the network, or would remove .venv"),
    (SNAKEMAKE + r".*--lint\b", nothing, "make lint runs it"),
    (SNAKEMAKE + r".*--sdm conda\b", nothing, "needs conda; tests/workflow/test_module.py runs it without"),
    (SNAKEMAKE + r".*(-n|--dry-run|--unlock)\b", works, ""),
    (SNAKEMAKE + r"(.* )?plan\b", works, ""),
    (SNAKEMAKE + r".*--report\b", dry_run, "needs a finished run; tests/workflow/test_chain.py makes one"),
    (SNAKEMAKE + r".*--(profile|cores|configfile)\b", dry_run, "takes as long as a run"),
    (r"docker build\b", builds_an_image, "needs a daemon; tests/workflow/test_containers.py reads the file"),
    (r"(docker save|apptainer build) ", nothing, "needs docker and Apptainer"),
    (r"conda env create\b", names_files, "needs the network; tests/workflow/test_conda.py has a stand-in"),
    (r"conda activate\b", names_the_environment, "needs conda"),
    (r"sbatch .*--wrap\b", wraps_a_command, "needs a cluster; tests/slurm has one"),
    (r"(sinfo|squeue|sacct|sacctmgr|scancel|scontrol|seff) ", nothing, "needs a cluster"),
    (r"cellxgene launch\b", names_results, "is no part of the workflow; tests/scripts/test_outputs.py"),
    (r"(\w+=\S+ )*(\S*/)?python3? (benchmarks|tests)/\w", names_files, "takes minutes to hours"),
    (r"PYTHONPATH=scripts python -m cellferry\.commands\.references ", works, ""),
    (r"(\w+=\S+ )*(\S*/)?python3? -m pytest\b", nothing, "this is one of its tests"),
    (r"cp config/", works, ""),
    (r"mkdir -p [\w.-]+(/[\w.-]+)*$", works, ""),
    (r"(cd|git clone|tmux|screen|ssh|scp|rsync|less|tail|open|xdg-open) ?", nothing, "the reader's own"),
]


def check(copy, command):
    """Check one command as in `KNOWN`."""
    how = next((how for pattern, how, _ in KNOWN if re.match(pattern, command)), None)
    assert how, f"`{command}` is new: say in KNOWN how it is checked"
    how(copy, command)


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=str)
def test_commands_work(copy, page):
    for command in commands_of(page):
        check(copy, command)


@pytest.mark.parametrize("page", [page for page in PAGES if mentioned_in(page)], ids=str)
def test_commands_in_running_text_exist(copy, page):
    for command in mentioned_in(page):
        if command.startswith("make "):
            makes_plans(copy, command)
        elif re.search(r"--(profile|cores|configfile)\b", command):
            check(copy, command)


def test_a_command_that_is_not_known_fails(copy):
    with pytest.raises(AssertionError, match="is new"):
        check(copy, "cellferry run --fast")
    with pytest.raises(AssertionError):
        check(copy, "make everything")
    with pytest.raises(AssertionError):
        check(copy, "make -n everything")
    with pytest.raises(AssertionError):
        check(copy, "snakemake --profile profiles/elsewhere -n")


def test_a_line_of_shell_is_taken_apart():
    line = 'conda env create -f environment.yaml && A=1 make x B="1 2" && ls # all; of it'
    assert list(simple_commands(line)) == ["conda env create -f environment.yaml", 'A=1 make x B="1 2"', "ls"]


def test_every_target_of_make_that_is_meant_for_users_is_known():
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    targets = re.search(r"^\.PHONY: (.*)$", rules, re.M)[1].split()
    for target in targets:
        assert any(re.match(pattern, f"make {target}") for pattern, _, _ in KNOWN), target
