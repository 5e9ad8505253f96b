"""Text in general."""

from cellferry.core.text import each_once


def test_names_that_repeat_get_numbers():
    assert each_once(["a", "b", "a", "a_2", "A", "a"]) == ["a", "b", "a_2", "a_2_2", "A", "a_3"]
    assert each_once(["a", "A", "b"], ignore_case=True) == ["a", "A_2", "b"]
