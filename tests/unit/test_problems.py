"""Problems: one line of text from where, what and remedy, and the problems in an error."""

import pytest
from cellferry.core.problems import Problem, Problems, problems_of
from cellferry.errors import InputError


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("genes.map", "is empty", "correct it"), "genes.map: is empty; correct it"),
        (Problem("report", "requests 9 CPUs", "Lower it"), "report: requests 9 CPUs. Lower it"),
        (Problem("", "there is no file x", "correct the path"), "there is no file x; correct the path"),
        (Problem("datasets", "'x' is not text"), "datasets: 'x' is not text"),
    ],
)
def test_a_problem_is_one_line(problem, text):
    assert str(problem) == text
    assert problem.statement == text.removesuffix(problem.remedy).rstrip(".; ")


def test_an_error_carries_its_problems():
    one, other = Problem("a", "is wrong"), Problem("b", "is missing", "add it")
    error = InputError(Problems("2 problems", (one, other)))
    assert str(error) == "2 problems:\n  - a: is wrong\n  - b: is missing; add it"
    assert problems_of(error) == [one, other]
    assert problems_of(InputError(other), where="c") == [other]
    assert problems_of(InputError("no file"), where="c") == [Problem("c", "no file")]
