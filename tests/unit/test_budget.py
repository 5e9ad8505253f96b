from types import SimpleNamespace

import pytest
from cellferry.budget import MB, Budget
from cellferry.errors import InputError


def test_buffers_are_what_the_rest_leaves():
    assert Budget(2000).buffer_bytes(fixed_mb=300) == (2000 - 250 - 300) * MB


def test_blocks_stay_as_they_were_while_memory_rises_with_the_attempts():
    first, second = Budget(2000, attempt=1), Budget(4000, attempt=2)
    smaller = second.buffer_bytes(fixed_mb=300)
    assert first.buffer_bytes(fixed_mb=300) <= smaller <= 1.2 * first.buffer_bytes(fixed_mb=300)
    # What was not foreseen has more than twice the room.
    assert 4000 * MB - smaller > 2 * (2000 * MB - first.buffer_bytes(fixed_mb=300))


def test_blocks_get_smaller_where_memory_can_rise_no_further():
    sizes = [Budget(2000, attempt=attempt).buffer_bytes(fixed_mb=300) for attempt in (1, 2, 3)]
    assert sizes == [1450 * MB, 725 * MB, 483 * MB]


def test_an_attempt_never_gets_less_than_a_job_can_run_with():
    assert Budget(400, attempt=9).buffer_bytes(fixed_mb=50) == 64 * MB


def test_too_little_memory_is_told_with_the_least_that_would_do():
    with pytest.raises(InputError, match="mem_mb is 300, and this job cannot run below 614"):
        Budget(300).buffer_bytes(fixed_mb=300)


def test_a_script_finds_its_budget_in_its_resources():
    assert Budget.of(SimpleNamespace(mem_mb=1000, attempt=2)) == Budget(1000, attempt=2)
