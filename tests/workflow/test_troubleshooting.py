"""docs/troubleshooting.md quotes the program's messages."""

import ast
import re
from pathlib import Path

import pytest
import snakemake.deployment.conda
import snakemake.deployment.singularity
import snakemake.exceptions
from cellferry.core.problems import Problem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
HOLE = "\0"
MIN_LETTERS = 8
"""A quoted message has more letters than that outside of its holes."""


def templates(path):
    """All strings of a module but its docstrings, and its problems, with a hole for each value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ):
            yield template(node)
    yield from problem_templates(tree)


def template(node):
    """A string with a hole for each inserted value; a hole alone for other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # "...".rstrip()
        return template(node.func.value)
    return HOLE


def problem_templates(tree):
    """Messages that `Problem` makes of its place, words and remedy, which may be variables."""
    values = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    values.sort(key=lambda node: node.lineno)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Problem":
            before = {
                ast.unparse(node.targets[0]): node.value for node in values if node.lineno < call.lineno
            }
            yield str(Problem(*(template(before.get(ast.unparse(part), part)) for part in call.args)))


@pytest.fixture(scope="module")
def said():
    of_snakemake = (snakemake.exceptions, snakemake.deployment.conda, snakemake.deployment.singularity)
    modules = [*(ROOT / "scripts").rglob("*.py"), *(Path(module.__file__) for module in of_snakemake)]
    return [text for path in modules for text in templates(path)]


def quoted():
    """Messages at the beginning of a list item, between the markers of bold code."""
    lines = re.sub(r"\n  +", " ", PAGE)
    items = re.findall(r"^- (\*\*`.*)$", lines, re.M)
    return [message for item in items for message in re.findall(r"\*\*`(.+?)`\*\*", item)]


def is_said(message, text):
    """True if a text contains the parts of a message in this order."""
    pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
    return re.search(pattern, text, re.S) is not None


@pytest.mark.parametrize("message", quoted())
def test_messages_are_those_of_the_program(message, said):
    assert len(message.replace("…", "")) >= MIN_LETTERS or message.isupper(), "says too little"
    assert any(is_said(message, text) for text in said)


def test_a_message_that_nobody_says_is_found(said):
    assert not any(is_said("there is no such … message anywhere", text) for text in said)
    assert is_said("has … of … genes", f"{HOLE}: has {HOLE} of the {HOLE} genes")
    assert not is_said("of … has", f"has {HOLE} of the")


def test_messages_are_found_on_the_page_and_none_twice():
    assert len(quoted()) > 60
    assert len(set(quoted())) == len(quoted())
