"""Control features of targeted panels: they count false detections, and are not genes.

Xenium gives them types of their own; CosMx, MERSCOPE and tables made of either name them by a word and a
number. Both are recognized in every format, since files are often written anew without the types.
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
"""Types of Xenium's features besides its genes, lower case."""

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
        Their positions among all stored features.
    kinds
        Number of them by kind, such as `blank codeword`.
    """

    positions: np.ndarray
    kinds: dict[str, int]

    def counts(self, stored: sparse.csr_matrix) -> np.ndarray:
        """Counts of the controls of each cell (float64), given those of all stored features."""
        return np.asarray(stored[:, self.positions].sum(axis=1, dtype=np.float64)).ravel()


def control_kind(name: str) -> str | None:
    """The kind of control that a feature's name stands for; None for a gene's."""
    match = PATTERN.fullmatch(name)
    return match.lastgroup.replace("_", " ") if match else None


def controls_of(names: pd.Index, types: pd.Series | None) -> Controls:
    """The controls among features.

    Parameters
    ----------
    names
        Names of the features.
    types
        Their types, lower case; None where a file has none.
    """
    kinds = [control_kind(str(name)) for name in names]
    if types is not None:
        kinds = [kind if kind in CONTROL_TYPES else named for kind, named in zip(types, kinds, strict=True)]
    positions = np.array([position for position, kind in enumerate(kinds) if kind], dtype=np.int64)
    found = [kinds[position] for position in positions]
    return Controls(positions, {kind: found.count(kind) for kind in dict.fromkeys(found)})


def in_words(kinds: dict[str, int]) -> str:
    """Number of controls by kind, such as `blank codeword: 2`."""
    return ", ".join(f"{kind}: {n}" for kind, n in kinds.items())
