"""Problems that a user can mend, as records: text is made where it is printed."""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

import difflib
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Problem:
    """One problem.

    Parameters
    ----------
    where
        The key, file or rule that has it; may be empty.
    what
        The problem, with the value that was found.
    remedy
        What to do about it, in the imperative; may be empty.
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
    """Several problems under a title, as an `InputError` carries them."""

    title: str
    each: tuple[Problem, ...]

    def __str__(self) -> str:
        """The title, and a line for each problem."""
        return "\n".join([f"{self.title}:", *(f"  - {problem}" for problem in self.each)])


def problems_of(error: InputError, where: str = "") -> list[Problem]:
    """The problems that an error carries.

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
    """A known key that is nearly the one given, as part of a message."""
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
