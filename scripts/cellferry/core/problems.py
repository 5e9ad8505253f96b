"""Problems that a user can mend, as records: text is made where it is printed."""

from __future__ import annotations  # `make doctor` reads it with a login node's Python 3.8

from dataclasses import dataclass


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

    def __str__(self) -> str:
        """One line: `where: what; remedy`."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.remedy}" if self.remedy else text
