"""Labels left out of the reference, written by leave_labels_out to `left_out.json`."""

from dataclasses import dataclass
from typing import ClassVar

from .evaluation import UnseenCells


@dataclass(frozen=True)
class LeftOutLabel(UnseenCells):
    """Held-out cells of a label that is left out of the reference.

    Attributes
    ----------
    accepted_as
        Cells by the wrong label that they got, the most frequent first.
    coarser
        Number of those that got a right label of a coarser level.
    """

    accepted_as: dict[str, int]
    coarser: int


@dataclass(frozen=True)
class LeftOut:
    """Each label left out of the reference once.

    Attributes
    ----------
    labels
        Held-out cells by label; empty if there are too few labels to leave one out.
    """

    VERSION: ClassVar[int] = 1

    labels: dict[str, LeftOutLabel]
