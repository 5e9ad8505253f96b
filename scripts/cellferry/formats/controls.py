"""Control features of targeted panels, which count false detections and are not genes.

Xenium gives them types of their own. CosMx, MERSCOPE and derived tables name them by a word and a number.
Both are detected in all formats, since converted files often lack the types.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

CONTROL_TYPES = {
    "negative control probe",
    "negative control codeword",
    "unassigned codeword",
    "deprecated codeword",
    "blank codeword",
    "genomic control",
}
"""Types of Xenium's features other than genes, in lower case."""

NAMES = {
    "negative control probe": r"negcontrolprobe_?\d+|negprb_?\d+|negative_?\d+|antisense_\w+",
    "negative control codeword": r"negcontrolcodeword_?\d+|falsecode(word)?_?\d+",
    "system control": r"systemcontrol_?\d+",
    "unassigned codeword": r"unassignedcodeword_?\d+",
    "deprecated codeword": r"deprecatedcodeword_?\d+",
    "blank codeword": r"blank[-_. ]?\d+",
    "genomic control": r"intergenic_?region_?\d+",
}
"""Names of controls by kind: of Xenium, CosMx (NegPrb, Negative, SystemControl, FalseCode), MERSCOPE."""

PATTERN = re.compile(
    "|".join(f"(?P<{kind.replace(' ', '_')}>{names})" for kind, names in NAMES.items()), re.IGNORECASE
)


class Controls(NamedTuple):
    """The control features of a file.

    Attributes
    ----------
    positions
        Positions among all stored features.
    kinds
        Number of controls per kind, such as `blank codeword`.
    """

    positions: np.ndarray
    kinds: dict[str, int]

    def counts(self, stored: sparse.csr_matrix) -> np.ndarray:
        """Counts of the controls per cell (float64), given the counts of all stored features."""
        return np.asarray(stored[:, self.positions].sum(axis=1, dtype=np.float64)).ravel()


def control_kind(name: str) -> str | None:
    """The kind of control that a feature's name indicates; None for a gene."""
    match = PATTERN.fullmatch(name)
    return match.lastgroup.replace("_", " ") if match else None


def controls_of(names: pd.Index, types: pd.Series | None) -> Controls:
    """The controls among features.

    Parameters
    ----------
    names
        Names of the features.
    types
        Types of the features, in lower case; None if the file has no types.
    """
    kinds = [control_kind(str(name)) for name in names]
    if types is not None:
        kinds = [kind if kind in CONTROL_TYPES else named for kind, named in zip(types, kinds, strict=True)]
    positions = np.array([position for position, kind in enumerate(kinds) if kind], dtype=np.int64)
    found = [kinds[position] for position in positions]
    return Controls(positions, {kind: found.count(kind) for kind in dict.fromkeys(found)})


def in_words(kinds: dict[str, int]) -> str:
    """Number of controls per kind, such as `blank codeword: 2`."""
    return ", ".join(f"{kind}: {n}" for kind, n in kinds.items())
