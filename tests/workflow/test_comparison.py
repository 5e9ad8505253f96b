"""docs/comparison.md and docs/choosing_a_model.md have the numbers of the benchmarks' tables."""

import re

import pytest
from running import ROOT

PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
MEASURED, _, FEATURES = PAGE.partition("\n## Features\n")
TABLES = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.md"))


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("row", [row for row in rows(MEASURED) if re.search(r"\d", row)])
def test_rows_with_numbers_are_rows_of_the_benchmarks(row):
    assert row in TABLES.splitlines()


def test_rows_stand_below_the_heads_that_they_have_there():
    for block in re.split(r"\n\n", MEASURED):
        head, *_ = rows(block) or [""]
        if head:
            (there,) = {part for part in re.split(r"\n\n", TABLES) if part.splitlines()[:1] == [head]}
            assert set(rows(block)) <= set(there.splitlines())


def test_numbers_in_sentences_are_measured():
    whole = next(row for row in TABLES.splitlines() if row.startswith("| the whole run"))
    _, _, n_jobs, *seconds = (cell.strip() for cell in whole.split("|")[:6])
    assert n_jobs == "92"
    assert "ninety-two jobs" in PAGE
    for number in seconds:
        assert f"took {number} s with" in PAGE or f"\nand {number} s with" in PAGE
    asked = [row.split("|") for row in TABLES.splitlines() if re.match(r"\| `\w+`, \w+ \| [\d,]+ \|", row)]
    largest = max(int(cells[5].replace(",", "")) for cells in asked if len(cells) == 9)
    assert f"more than {largest:,} MiB" in PAGE


def test_worst_gaps_of_heads_are_measured():
    page = (ROOT / "docs" / "choosing_a_model.md").read_text(encoding="utf-8")
    called = {
        "all, mixed": "cellferry, best label",
        "`xgboost`": "XGBoost",
        "`linear`": "linear, on latents",
        "`neighbors`": "neighbors",
        "`expression`": "linear, on expression",
        "`expression_pca`": "linear, on components of expression",
        "`expression_ranks`": "ranks of markers",
    }
    gaps = re.findall(r"^\| (.+) \| (\.\d{3}) \| (.+) \|$", page, re.M)
    accuracy = (
        (ROOT / "benchmarks" / "accuracy.md").read_text(encoding="utf-8").partition("\n| macro-F1 |")[0]
    )
    assert {name for name, *_ in gaps} == called.keys()
    for name, gap, where in gaps:
        of_head = [row for row in rows(accuracy) if row.startswith(f"| {called[name]} |")]
        assert any(row.endswith(f"| {gap} | {where} |") for row in of_head), name
    speeds = "| training: the workflow's epoch, 5 % more cells watched | 2,177 | 4,251 |"
    assert speeds in TABLES
    assert "4,251" in page
    assert "2,177" in page


def test_features_have_a_word_for_every_tool():
    head, _, *others = rows(FEATURES)
    assert len(others) > 10
    for row in others:
        assert row.count("|") == head.count("|")
        assert all(cell.strip() for cell in row.strip("|").split("|"))
