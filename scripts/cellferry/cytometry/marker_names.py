"""Names of markers, compared without metals, detectors and case.

Needs the standard library only: the Snakefile imports it on a login node.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..core.problems import Problem
from ..errors import InputError
from ..labels.tables import table_rows

KIND = "kind"
"""Name of the var column with a channel's kind; `marker`, or one of `KINDS`."""

CHANNEL = "channel"
"""Name of the var column with a channel's name in the file."""

DETECTOR = "detector"
"""Name of the var column with the short name of a channel in FCS files ($PnN)."""

MARKER = "marker"
BACKBONE = "backbone"
"""Name of the var column that marks markers of all references."""

TRANSFORMATION = "transformation.json"
"""File in a model's folder with the transformation of intensities."""

SCALING_COLUMNS = ("marker", "low", "high")
"""Columns of a table of the values that became 0 and 1 for a pre-trained model."""

# Metals of antibodies and stains in mass cytometry, and of contaminations.
_ELEMENTS = (
    "ArAr|Rh|Pd|Ag|In|Sn|Te|Xe|Cs|Ba|La|Ce|Pr|Nd|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Hf|Ta|Os|Ir|Pt|Au|Pb|Bi"
)
_MASS = r"(?:80|1\d\d|20\d)"

# With case, and its own masses only: CD110 is a marker, Cd110 cadmium, Cd200 a marker of the mouse.
_CADMIUM = r"(?:10[68]|11[0-46])"

# Y182 is a tyrosine.
_METAL = (
    rf"(?:{_MASS}(?:{_ELEMENTS})|(?:{_ELEMENTS}){_MASS}|{_CADMIUM}Cd|Cd{_CADMIUM}|89Y|Y89|127I|I127)"
    r"(?:[ ._-]?D[id])?"
)
METAL = re.compile(rf"\(?{_METAL}\)?(?:D[id])?$")
BEFORE = re.compile(rf"^\(?{_METAL}\)?(?:D[id])?[ _.:-]+(?=\w)")

# One that was measured by several metals, too: CD3(110:114)Dd.
_IN_BRACKETS = rf"\({_METAL}(?:[ ,;:/_-]*{_METAL})*\)(?:D[id])?|\(\d{{2,3}}(?:[:,;-]\d{{2,3}})*\)D[id]"
AFTER = re.compile(rf"[ _.:-]*(?:{_IN_BRACKETS})$|[ _.:-]+{_METAL}$")
COMPENSATED = re.compile(r"^(?:FJ)?Comp-(?=\S)")
GREEK = str.maketrans({"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "κ": "k", "λ": "l"})
IGNORED = re.compile(r"[\s_.,:;/\\()\[\]-]+")


def marker_name(name: str) -> str:
    """A marker's name without the metal or detector before or after it.

    `139La_CD45RA`, `CD45RA(La139)Di` and `Comp-FITC-A :: CD45RA` are CD45RA.
    """
    detector, _, marker = name.rpartition("::")
    marker = COMPENSATED.sub("", marker.strip() or detector.strip()).removesuffix("(v)").strip()
    marker = AFTER.sub("", BEFORE.sub("", marker, count=1))
    return marker.strip(" _") or name.strip()


def is_named_after_metal(name: str) -> bool:
    """Whether a channel's name contains a metal."""
    return bool(METAL.match(name) or BEFORE.match(name) or AFTER.search(name))


def marker_key(name: str) -> str:
    """Key of a marker's name: without metal, case, blanks, dashes, dots and underscores."""
    return _folded(marker_name(name))


def whole_key(name: str) -> str:
    """The same with metal and detector."""
    return _folded(COMPENSATED.sub("", name.strip()))


def _folded(name: str) -> str:
    return IGNORED.sub("", name.translate(GREEK)).casefold() or name.casefold()


class MarkerTable(NamedTuple):
    """The table of `cytometry.markers`: the marker of a name; None for other channels.

    Attributes
    ----------
    channels
        By the whole name of a channel, for names with a metal or detector.
    markers
        By the key of a name, for all others.
    """

    channels: dict[str, str | None]
    markers: dict[str, str | None]

    def find(self, *names: str) -> tuple[bool, str | None]:
        """Whether one of a channel's names is in the table, and its marker."""
        for known, key in ((self.channels, whole_key), (self.markers, marker_key)):
            for name in names:
                if key(name) in known:
                    return True, known[key(name)]
        return False, None


def read_markers(given: dict | str) -> MarkerTable:
    """Marker by name, from `cytometry.markers`: a mapping, or the path of a table of name and marker.

    Raises
    ------
    InputError
        If a name stands for two markers.
    """
    pairs = table_rows(Path(given), "cytometry.markers") if isinstance(given, str) else given.items()
    table = MarkerTable({}, {})
    for name, marker in pairs:
        key = whole_key(str(name))
        known = table.markers if key == marker_key(str(name)) else table.channels
        given_name = None if marker is None or not str(marker).strip() else str(marker).strip()
        if known.setdefault(key, given_name) != given_name:
            what = f"'{name}' means {_said(given_name)} and {_said(known[key])}"
            raise InputError(Problem("cytometry.markers", what, "keep one of them"))
    return table


def _said(marker: str | None) -> str:
    return "no marker" if marker is None else f"'{marker}'"


def listed(names: Iterable[str]) -> str:
    """Names for a message, not more than twenty."""
    names = list(names)
    return ", ".join([*names[:20], "…"] if len(names) > 20 else names)
