"""The entry in the Snakemake workflow catalog is right, and so is the repository's layout."""

import re
import tomllib

import yaml
from running import ROOT

ENTRY = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))


def test_the_entry_has_the_catalogs_keys_and_no_others():
    assert set(ENTRY) == {"usage"}
    usage = ENTRY["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert {type(value) for value in deployment.values()} == {bool}


def test_profiles_that_it_names_exist():
    named = re.findall(r"profiles/\w+", ENTRY["usage"]["mandatory-flags"]["desc"])
    assert named
    assert all((ROOT / path / "config.yaml").is_file() for path in named)


def test_each_deployment_method_is_what_the_rules_have():
    deployment = ENTRY["usage"]["software-stack-deployment"]
    assert deployment["conda"] == (RULES.count("\n    conda:\n") == RULES.count("\n    script:\n"))
    assert deployment["apptainer"] == ("container:" in RULES)
    # cellferry.config.container refuses both together.
    assert not deployment["apptainer+conda"]


def test_there_is_something_for_a_report():
    has_report = "report(" in RULES and "report:" in (ROOT / "Snakefile").read_text(encoding="utf-8")
    assert ENTRY["usage"]["report"] == ENTRY["usage"]["software-stack-deployment"]["report"] == has_report


def test_the_layout_is_the_catalogs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert (ROOT / "config" / "README.md").is_file()
    # The catalog searches workflow/ for the Snakefile if such a folder exists.
    assert (ROOT / "Snakefile").is_file()
    assert not (ROOT / "workflow").exists()


def test_one_version_stands_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert project["version"] == citation["version"] == newest[1]
