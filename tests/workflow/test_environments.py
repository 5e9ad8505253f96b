"""The environments contain the scripts' imports, at the locked versions."""

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
RULE = re.compile(r'conda:\s+"\.\./(envs/\w+\.yaml)".*?script:\s+"\.\./scripts/(\w+)\.py"', re.DOTALL)


def locked(file="requirements.txt"):
    lines = (ROOT / file).read_text().splitlines()
    return dict(line.split("==") for line in lines if re.match(r"^[a-z0-9]", line))


def scripts_by_environment():
    environments: dict[str, list[str]] = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            found = RULE.search(rule)
            environments.setdefault(found[1], []).append(found[2])
    return environments


@cache
def imported(path):
    """Names that a file imports: modules, and all that might be modules of the package."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(path.relative_to(SCRIPTS).parts[: -node.level]) + "." if node.level else ""
            name = (base + (node.module or "")).rstrip(".")
            modules |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return modules


def imports(path, seen):
    """Top-level modules that a script imports, itself or through the package."""
    if path in seen:
        return set()
    seen.add(path)
    found = set()
    for module in imported(path):
        if module.split(".")[0] == "cellferry":
            file = SCRIPTS / Path(*module.split("."))
            # A module's packages are imported before it.
            folders = [folder for folder in (file, *file.parents) if SCRIPTS in folder.parents]
            for candidate in (file.with_suffix(".py"), *(folder / "__init__.py" for folder in folders)):
                if candidate.exists():
                    found |= imports(candidate, seen)
        else:
            found.add(module.split(".")[0])
    return found - set(sys.stdlib_module_names)


def pins(environment):
    """Pinned packages of an environment file."""
    dependencies = yaml.safe_load((ROOT / environment).read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    return dict(line.split("==") for line in pip)


def needed(scripts):
    modules = set().union(*(imports(SCRIPTS / f"{script}.py", set()) for script in scripts))
    return {installed()[module][0].lower() for module in modules}


installed = cache(packages_distributions)
ENVIRONMENTS = scripts_by_environment()


def test_every_rule_has_an_environment_and_every_environment_a_rule():
    assert set(ENVIRONMENTS) == {f"envs/{path.name}" for path in (ROOT / "envs").glob("*.yaml")}
    with_script = {script for scripts in ENVIRONMENTS.values() for script in scripts}
    assert with_script == {path.stem for path in SCRIPTS.glob("*.py")}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_lists_exactly_what_its_scripts_import(environment):
    assert set(pins(environment)) == needed(ENVIRONMENTS[environment])


@pytest.mark.parametrize("environment", [*ENVIRONMENTS, "environment.yaml"])
def test_versions_are_the_locked_ones(environment):
    versions = locked()
    assert {name: versions[name] for name in pins(environment)} == pins(environment)


@pytest.mark.parametrize("environment", [*ENVIRONMENTS, "environment.yaml"])
def test_only_python_and_pip_come_from_conda_forge(environment):
    content = yaml.safe_load((ROOT / environment).read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    python = (ROOT / ".python-version").read_text().strip()
    assert [entry for entry in content["dependencies"] if isinstance(entry, str)] == [
        f"python={python}",
        "pip",
    ]


def test_direct_dependencies_are_those_imported():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {re.split(r"[=<>]", entry)[0] for entry in project["dependencies"]}
    listed = set().union(*(pins(environment) for environment in [*ENVIRONMENTS, "environment.yaml"]))
    # The Snakefile's own imports run where snakemake runs.
    assert direct == listed | {"jsonschema", "pyyaml"}


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-label.txt"])
def test_lock_files_name_no_address(lock):
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", (ROOT / lock).read_text())


def test_what_labels_without_torch_is_locked_to_the_same_versions():
    versions, of_all = locked("requirements-label.txt"), locked()
    assert versions.items() <= of_all.items()
    assert not {"torch", "scvi-tools", "lightning", "anndata", "scanpy"} & versions.keys()
    for environment in ("data", "predict", "report"):
        assert pins(f"envs/{environment}.yaml").items() <= versions.items()
    assert {"snakemake", "snakemake-executor-plugin-slurm", "jsonschema", "requests"} <= versions.keys()


def test_only_training_surgery_and_import_need_torch():
    scripts = {script for scripts in ENVIRONMENTS.values() for script in scripts}
    with_torch = {script for script in scripts if needed([script]) & {"torch", "lightning", "scvi-tools"}}
    assert with_torch == {"train_reference_model", "fit_query_model", "import_reference"}
