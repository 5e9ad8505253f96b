"""Panels of cytometry: which channels are markers, and when two names mean the same one.

Read by the Snakefile too (through `read_markers`), so it imports nothing that a login node lacks at the top.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import InputError
from .label_tables import table_rows

if TYPE_CHECKING:
    import pandas as pd

KIND = "kind"
"""Name of the var column that tells what a channel is; `marker`, or one of `KINDS`."""

CHANNEL = "channel"
"""Name of the var column with a channel's name as it stands in the file."""

DETECTOR = "detector"
"""Name of the var column with the short name of a channel in FCS files ($PnN)."""

MARKER = "marker"

# What antibodies and stains are labelled with in mass cytometry, and what is seen of contaminations.
_ELEMENTS = (
    "Y|Rh|Pd|Ag|Cd|In|Sn|Te|I|Xe|Cs|Ba|La|Ce|Pr|Nd|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Hf|Ta|Os|Ir|Pt|Au|Pb|Bi"
)
_MASS = r"(?:7[5-9]|[89]\d|1\d\d|20\d)"
# With case: CD110 is a marker, Cd110 cadmium.
_METAL = rf"(?:{_MASS}(?:{_ELEMENTS})|(?:{_ELEMENTS}){_MASS})(?:[ ._-]?D[id])?"
METAL = re.compile(rf"\(?{_METAL}\)?(?:D[id])?$")
BEFORE = re.compile(rf"^\(?{_METAL}\)?(?:D[id])?[ _.:-]+(?=\w)")
AFTER = re.compile(rf"[ _.:-]*\({_METAL}\)(?:D[id])?$|[ _.:-]+{_METAL}$")

KINDS = {
    "time": re.compile(r"time$|hdr-t$", re.I),
    "scatter": re.compile(r"(comp-)?[fs]sc(\d*([ _.-]|$)|[ahw]$)|[fs]s([ _.-]|$)", re.I),
    "dna": re.compile(r"dna[ _-]?\d*$|.*intercalator|\(?(19[13]Ir|Ir19[13])\)?", re.I),
    "viability": re.compile(
        r".*viab|.*live.{0,3}dead|l[ /_-]?d$|dead|.*cisplatin|.*zombie|7.?aad|dapi|propidium|pi$|.*sytox"
        r"|fixable|ghost|\(?(19[458]Pt|Pt19[458]|103Rh|Rh103)(\)|$|D)",
        re.I,
    ),
    "bead": re.compile(r".*\bbeads?|.*_beads?|beaddist", re.I),
    "barcode": re.compile(r"bc[ _-]?\d+$|.*barcode|bc_separation", re.I),
    "other": re.compile(
        r"(event|cell)[ _-]?length$|event[ _-]?(#|no|num|number|count|id)$"
        r"|(file|sample)[ _-]?(no|num|number|id)$"
        r"|(center|offset|width|residual|mahalanobis_dist|background|autofluorescence|af|empty|blank)$"
        r"|(umap|tsne|bhsne\d*|pca?|latent)[ _-]?\d+$|(best_)?label_code$|probability$|outside_p$",
        re.I,
    ),
}
"""What a channel is that is no marker, by its name."""

GREEK = str.maketrans({"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "κ": "k", "λ": "l"})
IGNORED = re.compile(r"[\s_.,:;/\\()\[\]-]+")


def marker_name(name: str) -> str:
    """A marker's name without the metal or the detector that stand before or behind it.

    `139La_CD45RA`, `CD45RA(La139)Di` and `Comp-FITC-A :: CD45RA` are CD45RA.
    """
    own = name.rpartition("::")[2].strip()
    own = AFTER.sub("", BEFORE.sub("", own, count=1))
    return own.strip() or name.strip()


def marker_key(name: str) -> str:
    """What two names of one marker have in common: no metal, case, blanks, dashes, dots or underscores."""
    return IGNORED.sub("", marker_name(name).translate(GREEK)).casefold() or name.casefold()


def channel_kind(*names: str) -> str:
    """`marker`, or what a channel of these names (as in the file, and its detector's) is instead."""
    for kind, pattern in KINDS.items():
        if any(pattern.match(one) for name in names for one in (name.strip(), marker_name(name))):
            return kind
    return MARKER


class MarkerTable(NamedTuple):
    """What `cytometry.markers` says, by the key of a name.

    Attributes
    ----------
    markers
        The marker that a name stands for; none for a channel that is no marker.
    """

    markers: dict[str, str | None]

    def find(self, *names: str) -> tuple[bool, str | None]:
        """Whether one of a channel's names is in the table, and its marker."""
        for name in names:
            if marker_key(name) in self.markers:
                return True, self.markers[marker_key(name)]
        return False, None


def read_markers(given: dict | str) -> MarkerTable:
    """Marker by name, from `cytometry.markers`: a mapping, or the path of a table of name and marker.

    Raises
    ------
    InputError
        If a name stands for two markers.
    """
    pairs = table_rows(Path(given), "cytometry.markers") if isinstance(given, str) else given.items()
    found: dict[str, str | None] = {}
    for name, marker in pairs:
        key = marker_key(str(name))
        own = None if marker is None or not str(marker).strip() else str(marker).strip()
        if found.setdefault(key, own) != own:
            raise InputError(
                f"cytometry.markers: '{name}' stands for '{own}' and for '{found[key]}'; leave one of them"
            )
    return MarkerTable(found)


def channels_of(var: pd.DataFrame, markers: MarkerTable, where: str) -> pd.DataFrame:
    """The channels of a file: their names, and what they are.

    Parameters
    ----------
    var
        Names as they stand in the file as the index; a column `detector` where there is one.
    markers
        What the configuration calls them.
    where
        The file, for messages.

    Returns
    -------
    The index holds markers' names without metals and detectors, and what `markers` calls them; other channels
    keep theirs. Columns: `kind`, `channel` (the name in the file), and `detector` where there is one.

    Raises
    ------
    InputError
        If a channel has no name, two are one marker, or none is a marker.
    """
    import pandas as pd

    names = [str(name) for name in var.index]
    detectors = var[DETECTOR].tolist() if DETECTOR in var else names
    nameless = [position for position, name in enumerate(names, start=1) if not name.strip()]
    if nameless:
        raise InputError(
            f"{where}: channel {', '.join(map(str, nameless))} of {len(names)} has no name; name it, or "
            "export the file without it"
        )
    # Where nobody wrote down the antibodies, metals are all there is to go by.
    metals_alone = all(METAL.match(name) or channel_kind(name) != MARKER for name in names)
    kinds, final = [], []
    for name, detector in zip(names, detectors, strict=True):
        is_told, marker = markers.find(name, detector)
        kind = channel_kind(name, detector)
        if is_told:
            kind = MARKER if marker else "other"
        elif METAL.match(name) and not metals_alone and kind == MARKER:
            kind = "other"  # a contamination, or an unused channel
        kinds.append(kind)
        final.append((marker or marker_name(name)) if kind == MARKER else name)
    keys: dict[str, str] = {}
    for name, kind, own in zip(names, kinds, final, strict=True):
        if kind == MARKER and keys.setdefault(marker_key(own), name) != name:
            raise InputError(
                f"{where}: the channels '{keys[marker_key(own)]}' and '{name}' are both called {own}; tell "
                f"them apart in cytometry.markers, or drop one there ('{name}': null)"
            )
    if MARKER not in kinds:
        raise InputError(
            f"{where}: none of its channels is a marker's ({listed(names)}); name the markers in "
            "cytometry.markers"
        )
    index = pd.Index(_unique(final), dtype=object)
    columns = {KIND: kinds, CHANNEL: names} | ({DETECTOR: detectors} if DETECTOR in var else {})
    return pd.DataFrame(columns, index=index, dtype=object)


def _unique(names: list[str]) -> list[str]:
    """Names with numbers behind those that stand again."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def markers_of(var: pd.DataFrame) -> list[str]:
    """Names of the markers among the channels of a merged file, in its order."""
    return var.index[var[KIND] == MARKER].tolist()


def names_in_model(var: pd.DataFrame, model_markers: Iterable[str]) -> list[str | None]:
    """What a model calls the channels of a merged file; None for those that it does not have."""
    known = {marker_key(marker): marker for marker in model_markers}
    return [
        known.get(marker_key(name)) if kind == MARKER else None
        for name, kind in zip(var.index, var[KIND], strict=True)
    ]


class Panels(NamedTuple):
    """The markers of several datasets.

    Attributes
    ----------
    markers
        Markers of any reference, under the name that the first of them gives them.
    backbone
        Those of them that every dataset has.
    names
        By dataset, the model's marker for each of its own; its own name where no reference has it.
    """

    markers: list[str]
    backbone: list[str]
    names: dict[str, list[str]]


def joint_panels(panels: dict[str, list[str]], references: list[str]) -> Panels:
    """Find the markers that datasets share.

    Parameters
    ----------
    panels
        Names of the markers of each dataset.
    references
        Which of the datasets are references; at least one.
    """
    called: dict[str, str] = {}
    for name in references:
        for marker in panels[name]:
            called.setdefault(marker_key(marker), marker)
    names = {name: [called.get(marker_key(marker), marker) for marker in own] for name, own in panels.items()}
    markers = list(called.values())
    backbone = [marker for marker in markers if all(marker in own for own in names.values())]
    return Panels(markers, backbone, names)


def check_backbone(panels: Panels, references: list[str], min_common: float) -> None:
    """Refuse a backbone that is too small a part of what the references have.

    Raises
    ------
    InputError
        If it is less than `min_common` of the smallest reference's markers, or fewer than two.
    """
    smallest = min(len(panels.names[name]) for name in references)
    if len(panels.backbone) >= max(2, min_common * smallest):
        return
    lacking = {
        name: [marker for marker in panels.markers if marker not in own] for name, own in panels.names.items()
    }
    most = max(lacking, key=lambda name: len(lacking[name]))
    raise InputError(
        f"only {len(panels.backbone)} of the references' {smallest} markers are in all datasets "
        f"({', '.join(f'{name} {len(own)}' for name, own in panels.names.items())} markers), and "
        f"genes.min_common is {min_common}. '{most}' lacks {listed(lacking[most])} and has "
        f"{listed(panels.names[most])}: if some of these are called otherwise, say so in cytometry.markers; "
        "else leave the dataset out, or lower genes.min_common"
    )


def check_share(name: str, own: list[str], backbone: list[str], min_common: float) -> None:
    """Refuse a dataset that has too few of the markers that a model sees.

    Parameters
    ----------
    name, own
        The dataset's name, and its markers.
    backbone
        The markers that the model sees.
    min_common
        Share of them that it must have.

    Raises
    ------
    InputError
        If it has fewer, or none.
    """
    keys = set(map(marker_key, own))
    lacking = [marker for marker in backbone if marker_key(marker) not in keys]
    found = len(backbone) - len(lacking)
    if found and found >= min_common * len(backbone):
        return
    raise InputError(
        f"datasets.{name}: has {found} of the {len(backbone)} markers that the model sees, and "
        f"genes.min_common is {min_common}; it lacks {listed(lacking)} and has {listed(own)}: if some of "
        "these are called otherwise, say so in cytometry.markers; else leave the dataset out, or train on "
        "markers that both have"
    )


def listed(names: Iterable[str]) -> str:
    """Names for a message, not more than twenty."""
    names = list(names)
    return ", ".join([*names[:20], "…"] if len(names) > 20 else names)
