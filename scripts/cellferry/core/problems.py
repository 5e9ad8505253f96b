"""Problems that a user can correct, as records; their text is made when printed."""

from __future__ import annotations  # `make doctor` runs it with a login node's Python 3.8

import difflib
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Problem:
    """One problem.

    Parameters
    ----------
    where
        The key, file or rule with the problem; may be empty.
    what
        The problem, with the offending value.
    remedy
        The remedy, in the imperative; may be empty.
    """

    where: str
    what: str
    remedy: str = ""

    @property
    def statement(self) -> str:
        """The problem without its remedy: `where: what`."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        """One line: `where: what; remedy`, or `where: what. Remedy` if the remedy is a sentence."""
        if not self.remedy:
            return self.statement
        return f"{self.statement}{'. ' if self.remedy[0].isupper() else '; '}{self.remedy}"


@dataclass(frozen=True)
class Problems:
    """Several problems under a title, the argument of an `InputError`."""

    title: str
    each: tuple[Problem, ...]

    def __str__(self) -> str:
        """The title, and a line for each problem."""
        return "\n".join([f"{self.title}:", *(f"  - {problem}" for problem in self.each)])


def problems_of(error: InputError, where: str = "") -> list[Problem]:
    """The problems in an error.

    Parameters
    ----------
    error
        Raised with `Problems`, with a `Problem`, or with a message.
    where
        The place of the problem, if the error has a message only.
    """
    carried = error.args[0]
    if isinstance(carried, Problems):
        return list(carried.each)
    return [carried if isinstance(carried, Problem) else Problem(where, str(error))]


def suggestion(key: str, known: list[str]) -> str:
    """Part of a message: the known key that is most similar to the given one."""
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
