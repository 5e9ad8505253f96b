"""Labels that were left out of the reference, as leave_labels_out writes them to `left_out.json`."""

from dataclasses import dataclass
from typing import ClassVar

from .evaluation import UnseenCells


@dataclass(frozen=True)
class LeftOutLabel(UnseenCells):
    """Held-out cells of a label when the reference lacks it.

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
        Its held-out cells, by label; empty where there are too few labels to leave one out.
    """

    VERSION: ClassVar[int] = 1

    labels: dict[str, LeftOutLabel]
