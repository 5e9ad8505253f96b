"""The way of a column in docs/how_it_works.md: its modules exist, with the described imports."""

import ast
import re

import pytest
from running import ROOT

PAGE = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
WALK = PAGE.partition("## One column, from the configuration to the labeled file")[2].partition("\n## ")[0]
STEPS = re.findall(r"^\d+\. (.*)$", WALK, re.M)


def modules_of(step):
    """Files in a step: scripts by their path, modules below the package."""
    named = re.findall(r"`((?:scripts/|[a-z]+/)[a-z0-9_/]*\.py)`", step)
    return [ROOT / (path if path.startswith("scripts/") else f"scripts/cellferry/{path}") for path in named]


def test_there_are_ten_steps_and_each_names_where_it_happens():
    assert len(STEPS) == 10
    assert all(modules_of(step) or "`sampling/" in step or "`formats/`" in step for step in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.split("`")[1])
def test_the_modules_are_there(step):
    assert [path for path in modules_of(step) if not path.is_file()] == []


@pytest.mark.parametrize("step", [step for step in STEPS if re.search(r"`scripts/|`datasets/dataset", step)])
def test_the_first_module_of_a_step_uses_the_others(step):
    first, *others = modules_of(step)
    tree = ast.parse(first.read_text(encoding="utf-8"))
    imported = {node.module.split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {path.stem for path in others} <= imported
