"""Budgets: the memory of a job's blocks, at every attempt, and the least that a job needs."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from cellferry.resources.memory import BLOCK_BYTES
from cellferry.resources.rules import MB, MemoryModel
from needs_table import needs_table

NEED = MemoryModel(fixed_mb=300, cell_bytes=8, blocks=4)


def block(mem_mb, attempt=1, most=10**12, **more):
    return Budget(mem_mb, attempt).block_bytes(NEED, most=most, **more)


def test_blocks_are_what_the_rest_leaves():
    assert block(2000) == (2000 - 250 - 300) * MB // 4
    assert block(2000, cells=10 * MB, more_mb=100) == (2000 - 250 - 300 - 80 - 100) * MB // 4


def test_blocks_are_not_larger_than_is_good():
    assert block(10**6, most=BLOCK_BYTES) == BLOCK_BYTES


def test_blocks_stay_as_they_were_while_memory_rises_with_the_attempts():
    first, second = block(2000), block(4000, attempt=2)
    assert first <= second <= 1.2 * first
    # Unpredicted memory has more than twice the space.
    assert 4000 * MB - 4 * second > 2 * (2000 * MB - 4 * first)


def test_blocks_get_smaller_where_memory_can_rise_no_further():
    assert [block(2000, attempt) for attempt in (1, 2, 3)] == [size * MB // 4 for size in (1450, 725, 483)]


def test_an_attempt_never_gets_less_than_a_job_can_run_with():
    assert block(650, attempt=9) == 64 * MB // 4


def test_too_little_memory_is_told_with_the_least_that_would_do():
    with pytest.raises(InputError, match="mem_mb=300 is too low: this job cannot run below 614"):
        block(300)
    held = MemoryModel(fixed_mb=300, value_bytes=10)
    with pytest.raises(InputError, match=r"cannot run below 650; .*\(set-resources\), or request less$"):
        Budget(300).require(held, values=10 * MB, remedy="request less")
    Budget(650).require(held, values=10 * MB)


def test_a_script_finds_its_budget_in_its_resources():
    assert Budget.of(SimpleNamespace(mem_mb=1000, attempt=2)) == Budget(1000, attempt=2)


def test_the_table_of_the_docs_is_the_one_in_use():
    root = Path(__file__).parents[2]
    assert needs_table() in (root / "docs" / "memory.md").read_text(encoding="utf-8")
