"""The pages: code compiles, links work, and keys, rules and files on them exist."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from cellferry.config.schema import load_schema
from cellferry.references.registry import load_schema as registry_schema
from jsonschema import Draft202012Validator
from pages import FENCE, PAGES, RESULT, SHELLS, blocks, is_written, prose, rules_text, text_of
from running import ROOT

SCHEMA = load_schema()
SECTIONS = SCHEMA["properties"]
DATASET = SCHEMA["$defs"]["dataset"]["properties"]
KEY = re.compile(r"`(\w+)\.(\w+(?:\.\w+)?)")
FILE_ENDINGS = ("json", "tsv", "csv", "pt", "h5ad", "md", "png", "py", "txt", "parquet")


# ---- Code


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=str)
def test_python_compiles(page):
    for code in blocks(page, "python"):
        ast.parse(code, filename=str(page))


def test_code_of_other_languages_has_tests_of_its_own():
    languages = {(language, str(page)) for page in PAGES for _, language, _ in FENCE.findall(text_of(page))}
    known = {*SHELLS, "python", "yaml", "mermaid", "text", ""}
    # test_outputs.py in tests/scripts, test_extending.py and test_module.py follow these pages.
    elsewhere = {("r", "docs/outputs.md"), ("diff", "docs/extending.md"), ("snakemake", "docs/module.md")}
    assert {found for found in languages if found[0] not in known} <= elsewhere


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=str)
def test_yaml_is_a_part_of_a_configuration_a_registry_or_the_profile(page):
    profile = (ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    for code in blocks(page, "yaml"):
        found = yaml.safe_load(code)
        if isinstance(found.get("references"), list):  # a registry
            assert Draft202012Validator(registry_schema()).is_valid(found), page
        elif found.keys() <= SECTIONS.keys():
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
    """Anchors of a page's headings."""
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
    """True for a link to the web, or if its file and heading exist."""
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
    """True for a key of the configuration, a file, or other text."""
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


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_of_a_run_are_what_rules_write(page):
    # Files that a page adds to the project are missing.
    text = re.sub(r"^```diff\n.*?^```$", "", text_of(page), flags=re.M | re.S)
    unknown = [path for path in RESULT.findall(text) if not is_written(path)]
    assert not unknown


def test_a_path_that_no_rule_writes_is_told():
    assert is_written("results/predictions/patients.parquet")
    assert is_written("results/reference/model/model.pt")
    assert is_written("logs/{rule}/")
    assert not is_written("results/prediction/patients.parquet")
    assert not is_written("results/predictions/patients.xlsx")
    assert not is_written("logs/trains/x.log")
