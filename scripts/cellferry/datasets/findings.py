"""Findings of a dataset's inspection: fields, problems and warnings."""

from dataclasses import dataclass, field
from typing import Any

from ..core.problems import Problem


@dataclass
class Findings:
    """Findings of one step of the inspection, or of several together.

    Attributes
    ----------
    fields
        Fields of `cellferry.artifacts.inspection.Inspection`.
    named
        The field of this name, which several steps fill.
    problems, warnings
        Problems of the dataset, and warnings as sentences.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    named: dict[str, dict[str, bool]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, others: "Findings") -> None:
        """Add the findings of another step."""
        self.fields |= others.fields
        self.named |= others.named
        self.problems += others.problems
        self.warnings += others.warnings


def as_problems(texts: list[str]) -> list[Problem]:
    """Make problems of sentences."""
    return [Problem("", text) for text in texts]
