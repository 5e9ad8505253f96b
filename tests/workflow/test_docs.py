"""The pages: commands run, code compiles, links lead somewhere, and keys, files and targets exist.

Every command of a page is run as it stands, in a copy of the project, or stands in `KNOWN` with the reason
why it is not and with what of it is checked instead. A command that is not known fails.
"""

import ast
import fnmatch
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cellferry.config.schema import load_schema
from jsonschema import Draft202012Validator
from placeholders import write_placeholders
from running import ROOT
from simulate import simulate_cells

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "config/*.md", "benchmarks/*.md", "profiles/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.M | re.S)
SHELLS = ("bash", "sh", "console", "shell")
SCHEMA = load_schema()
SECTIONS = SCHEMA["properties"]
DATASET = SCHEMA["$defs"]["dataset"]["properties"]
KEY = re.compile(r"`(\w+)\.(\w+(?:\.\w+)?)")
FILE_ENDINGS = ("json", "tsv", "csv", "pt", "h5ad", "md", "png", "py", "txt", "parquet")


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, *languages):
    """Fenced code of these languages, without its indentation."""
    return [
        textwrap.dedent(code) for _, language, code in FENCE.findall(text_of(page)) if language in languages
    ]


def prose(page):
    """A page without its fenced code."""
    return FENCE.sub("", text_of(page))


# ---- Commands


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
    """Commands of a page's blocks of shell; in a `console` those behind a $."""
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
    """A copy of the project, with its programs, in which commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        left_out = (".git", ".venv", ".uv", ".snakemake", "results", "logs", "resources", "demo", "*_work")
        ignored = shutil.ignore_patterns(*left_out, "__pycache__", ".pytest_cache", ".ruff_cache")
        shutil.copytree(ROOT, folder, ignore=ignored)
        environment = folder / ".venv"
        environment.mkdir()
        for entry in Path(sys.prefix).iterdir():
            if entry.name != ".installed":
                (environment / entry.name).symlink_to(entry)
        # make installs nothing where these are there.
        (environment / ".installed").touch()
        (folder / ".uv" / "bin").mkdir(parents=True)
        (folder / ".uv" / "bin" / "uv").touch()
        self.run = functools.cache(self._run)

    def _run(self, command: str) -> subprocess.CompletedProcess:
        """Run a command once; what is in /data on the pages is in the copy's folder here."""
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
        """Make what a reader has when giving the command: datasets, and a configuration."""
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
    """It is run as it stands."""
    if re.search(r"(CONFIG=|--configfile )config/examples/", command):
        return makes_plans(copy, command) if command.startswith("make") else dry_run(copy, command)
    result = copy.run(command)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return None


def says_what_it_finds(copy, command):
    """It is run, and may find something wrong with this machine, but nothing wrong with itself."""
    result = copy.run(command)
    said = result.stdout + result.stderr
    assert result.returncode in (0, 2), said
    assert said.strip()
    assert "Traceback" not in said
    assert "No rule to make target" not in said


def dry_run(copy, command):
    """snakemake is run with -n."""
    command = re.sub(r" --report( [\w./-]+\.(html|zip))?", "", command)
    dry = command if re.search(r" (-n|--dry-run)\b", command) else f"{command} -n"
    if not re.search(r" (--profile|--cores|-c|-j) ?", dry):
        dry += " --cores 1"
    result = copy.run(dry)
    assert result.returncode == 0, f"{dry}\n{result.stdout}{result.stderr}"


def makes_plans(copy, command):
    """make is run with -n: the target exists, and so do the scripts and profiles that it would run."""
    result = copy.run(command.replace("make ", "make -n ", 1))
    said = result.stdout.replace("\\\n", " ")
    assert result.returncode == 0, f"{command}\n{said}{result.stderr}"
    for line in said.splitlines():
        for script in re.findall(r"\S*python3? ((?:[\w.-]+/)*\w+\.py)", line):
            assert (copy.folder / script).is_file(), line
        if "/snakemake " in line and "--lint" not in line and "--rulegraph" not in line:
            dry_run(copy, line.strip().removeprefix("@"))


def names_files(copy, command):
    """The project's files that it names exist."""
    named = re.findall(r"(?<![\w/.])(?:benchmarks|tests|config|profiles|envs|docs|scripts)/[\w./-]+", command)
    named += re.findall(r"(?<![\w/.])environment\.yaml", command)
    assert named, command
    assert all((ROOT / name).exists() for name in named), command


def names_the_environment(copy, command):
    """The environment is called as its file says."""
    name = yaml.safe_load((ROOT / "environment.yaml").read_text(encoding="utf-8"))["name"]
    assert command.split()[2] == name


def wraps_a_command(copy, command):
    """The command that is sent is checked as any other."""
    check(copy, re.search(r"--wrap +[\"'](.*)[\"']", command)[1])


def names_results(copy, command):
    """The results that it names are what rules write."""
    assert all(is_written(path) for path in RESULT.findall(command)), command


def nothing(copy, command):
    """A program of the system's or the reader's own."""


SNAKEMAKE = r"(?:\w+=\S+ )*(?:\S*/)?snakemake "
SHIPPED = "tests/workflow/test_plan_command.py runs it on the shipped configuration"
# The first that fits counts: what a command looks like, how it is checked, and why it is not simply run.
KNOWN = [
    (r"make plan( CONFIG=config/config\.yaml| PROFILE=\S+)*$", makes_plans, SHIPPED),
    (SNAKEMAKE + r"(?!.*--configfile)(.* )?plan\b", dry_run, SHIPPED),
    (r"make (plan|new)\b", works, ""),
    (r"make doctor\b", says_what_it_finds, "this machine has no cluster"),
    (r"make demo\b", makes_plans, "takes minutes; the SLURM tests run the same chain"),
    (r"make (test|lint)\b", makes_plans, "this is one of its tests"),
    (r"make (scale|benchmark-accuracy)\b", makes_plans, "takes hours"),
    (r"make (rulegraph|lock|clean)\b", makes_plans, "needs graphviz or the network, or would remove .venv"),
    (SNAKEMAKE + r".*--lint\b", nothing, "make lint runs it"),
    (SNAKEMAKE + r".*(-n|--dry-run|--unlock)\b", works, ""),
    (SNAKEMAKE + r"(.* )?plan\b", works, ""),
    (SNAKEMAKE + r".*--report\b", dry_run, "needs a finished run; tests/workflow/test_chain.py makes one"),
    (SNAKEMAKE + r".*--(profile|cores|configfile)\b", dry_run, "takes as long as a run"),
    (r"conda env create\b", names_files, "needs the network; tests/workflow/test_conda.py has a stand-in"),
    (r"conda activate\b", names_the_environment, "needs conda"),
    (r"sbatch .*--wrap\b", wraps_a_command, "needs a cluster; tests/slurm has one"),
    (r"(sinfo|squeue|sacct|sacctmgr|scancel|scontrol|seff) ", nothing, "needs a cluster"),
    (r"cellxgene launch\b", names_results, "is no part of the workflow; tests/scripts/test_outputs.py"),
    (r"(\w+=\S+ )*(\S*/)?python3? (benchmarks|tests)/\w", names_files, "takes minutes to hours"),
    (r"(\w+=\S+ )*(\S*/)?python3? -m pytest\b", nothing, "this is one of its tests"),
    (r"cp config/", works, ""),
    (r"mkdir -p [\w.-]+(/[\w.-]+)*$", works, ""),
    (r"(cd|git clone|tmux|screen|ssh|scp|rsync|less|tail|open|xdg-open) ?", nothing, "the reader's own"),
]


def check(copy, command):
    """Check one command in the way that is known for it."""
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
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()
    for target in targets:
        assert any(re.match(pattern, f"make {target}") for pattern, _, _ in KNOWN), target


# ---- Code


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=str)
def test_python_compiles(page):
    for code in blocks(page, "python"):
        ast.parse(code, filename=str(page))


def test_code_of_other_languages_has_tests_of_its_own():
    languages = {(language, str(page)) for page in PAGES for _, language, _ in FENCE.findall(text_of(page))}
    known = {*SHELLS, "python", "yaml", "mermaid", "text", ""}
    # tests/scripts/test_outputs.py and tests/workflow/test_extending.py do what these pages say.
    elsewhere = {("r", "docs/outputs.md"), ("diff", "docs/extending.md")}
    assert {found for found in languages if found[0] not in known} <= elsewhere


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=str)
def test_yaml_is_a_part_of_a_configuration_or_of_the_profile(page):
    profile = (ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    for code in blocks(page, "yaml"):
        found = yaml.safe_load(code)
        if found.keys() <= SECTIONS.keys():
            some = {"q": {"role": "query", "path": "q.h5ad"}}
            schema = {"datasets": some} | found
            problems = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(schema)]
            assert not problems, f"{page}: {problems}"
        elif found.keys() <= DATASET.keys():
            for key, value in found.items():
                assert Draft202012Validator({**DATASET[key], "$defs": SCHEMA["$defs"]}).is_valid(value), key
        else:
            for key in found:
                assert re.search(rf"^ *{re.escape(key)}:", profile, re.M), f"{page}: {key}"


def test_the_drawn_chain_has_rules_only():
    rules = set(re.findall(r"^rule (\w+):", rules_text(), re.M))
    for page in PAGES:
        for code in blocks(page, "mermaid"):
            named = set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", code))
            assert named <= rules, f"{page}: {named - rules}"


# ---- Links


def anchors(page):
    """Names of a page's headings, as links give them."""
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *$", prose(page), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        while name in found:
            number = re.search(r"-(\d+)$", name)
            name = f"{name[: number.start()]}-{int(number[1]) + 1}" if number else f"{name}-1"
        found.add(name)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', text_of(page)))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_images_lead_somewhere(page):
    without_code = re.sub(r"`[^`\n]*`", "", prose(page))
    links = re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", without_code)
    links += re.findall(r"(?:src|href)=\"([^\"]+)\"", without_code)
    assert not [link for link in links if not leads_somewhere(page, link)]


def leads_somewhere(page, link):
    """Whether a link is one to the web, or its file exists and has the heading."""
    if re.match(r"(https?|mailto):", link):
        return True
    path, _, anchor = link.partition("#")
    target = ((ROOT / page).parent / path if path else ROOT / page).resolve()
    return target.exists() and (not anchor or anchor in anchors(target.relative_to(ROOT)))


def test_a_link_that_leads_nowhere_is_told():
    page = Path("docs/slurm.md")
    assert leads_somewhere(page, "memory.md#the-plan")
    assert leads_somewhere(page, "../README.md")
    assert not leads_somewhere(page, "memory.md#the-plans")
    assert not leads_somewhere(page, "memoirs.md")


# ---- Keys and files


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_keys_exist(page):
    unknown = [f"{section}.{key}" for section, key in KEY.findall(text_of(page)) if not is_key(section, key)]
    assert not unknown


def is_key(section, key):
    """Whether what looks like a key of the configuration is one, or a file or something else."""
    if section not in SECTIONS or key in FILE_ENDINGS:
        return True
    if section == "datasets":
        _, _, key = key.partition(".")
        return not key or key in DATASET
    return key in SECTIONS[section].get("properties", {})


def test_a_key_that_is_not_there_is_told():
    assert is_key(*KEY.search("`prediction.max_error: 0.1`").groups())
    assert is_key(*KEY.search("`datasets.patients.batch`").groups())
    assert is_key(*KEY.search("`labels.json`").groups())
    assert not is_key(*KEY.search("`prediction.max_errors`").groups())
    assert not is_key(*KEY.search("`datasets.NAME.batches`").groups())


RESULT = re.compile(r"(?<![\w-])(?:results|logs)/[\w{}./*-]*[\w}*/]")


def rules_text():
    return "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))


@functools.cache
def written():
    """Paths that rules write, folder by folder, with * for what is different from job to job."""
    texts = rules_text()
    texts += "".join(path.read_text(encoding="utf-8") for path in (ROOT / "profiles").rglob("*.yaml"))
    found = re.findall(r"(?:results|logs|\{TRAINED\})/[\w{}./*-]*[\w}*]", texts)
    return [
        starred(path.replace("{TRAINED}", "results").replace("{{", "{").replace("}}", "}")) for path in found
    ]


def starred(path):
    return [re.sub(r"\{\w+\}|[A-Z]{3,}|NAME", "*", part) for part in path.strip("/").split("/")]


def is_written(path):
    """Whether a path is what a rule writes, a folder above it, or something in a folder that is written."""
    parts = starred(path)
    return any(fits(parts, known) for known in written())


def fits(parts, known):
    length = min(len(parts), len(known))
    # Files have endings, and folders have none, but for stores and patterns.
    between = parts[length - 1] if len(parts) < len(known) else known[length - 1]
    if len(parts) != len(known) and re.search(r"\.\w+$", between) and not between.endswith(".zarr"):
        return False
    pairs = zip(parts[:length], known[:length], strict=True)
    return all(fnmatch.fnmatch(a, b) or fnmatch.fnmatch(b, a) for a, b in pairs)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_of_a_run_are_what_rules_write(page):
    unknown = [path for path in RESULT.findall(text_of(page)) if not is_written(path)]
    assert not unknown


def test_a_path_that_no_rule_writes_is_told():
    assert is_written("results/predictions/patients.parquet")
    assert is_written("results/reference/model/model.pt")
    assert is_written("logs/{rule}/")
    assert not is_written("results/prediction/patients.parquet")
    assert not is_written("results/predictions/patients.xlsx")
    assert not is_written("logs/trains/x.log")
