"""Panels of cytometry: which channels are markers, and when two names mean the same one.

Read by the Snakefile too (through `read_markers`), so it imports nothing that a login node lacks at the top.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import InputError
from ..labels.tables import table_rows, without_header

if TYPE_CHECKING:
    import pandas as pd

KIND = "kind"
"""Name of the var column that tells what a channel is; `marker`, or one of `KINDS`."""

CHANNEL = "channel"
"""Name of the var column with a channel's name as it stands in the file."""

DETECTOR = "detector"
"""Name of the var column with the short name of a channel in FCS files ($PnN)."""

MARKER = "marker"

BACKBONE = "backbone"
"""Name of the var column that tells which markers all references have."""

TRANSFORMATION = "transformation.json"
"""File in a model's folder that tells how intensities become what the model takes."""

SCALING_COLUMNS = ("marker", "low", "high")
"""Columns of a table that says which values became 0 and 1 for a model of others."""

# What antibodies and stains are labelled with in mass cytometry, and what is seen of contaminations.
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

KINDS = {
    "time": re.compile(r"time([ _.]*[(\[].*|[ _.-]?(m?s|sec|stamp|msw|lsw|\d))?$|t[lm]sw$|hdr-t$", re.I),
    "scatter": re.compile(
        r"(comp-)?v?[fs]sc(\d*([ _.(-]|$)|[ahw]$)|.*[ _-][fs]sc([ _.-]|$)|[fs]s([ _.-]|$)"
        r"|(forward|side)[ _-]?scatter",
        re.I,
    ),
    "dna": re.compile(r"dna[ _.-]?(ir)?[ _.-]?\d*$|.*intercalator|\(?(19[13]Ir|Ir19[13])\)?", re.I),
    "viability": re.compile(
        r".*viab|.*live.{0,3}dead|.*(?<![a-z])l/d(?![a-z])|l[ _-]?d([ _-].*)?$|live$|dead|fixable"
        r"|.*cisplatin|.*zombie|.*sytox|viakrome|7.?aad|dapi|hoechst|draq[57]|propidium|pi$|ghost"
        r"|fv[ds][ _-]?\w*$"
        r"|\(?(19[458]Pt|Pt19[458]|103Rh|Rh103)(\)|$|D)",
        re.I,
    ),
    "bead": re.compile(r".*bead|eq[ _-]?\d?$", re.I),
    "barcode": re.compile(r"bc[ _-]?\d+$|.*barcod|bc[ _-]separation", re.I),
    "other": re.compile(
        r"(event|cell)[ _.-]?length|(original[ _-]?)?(event|cell)[ _.-]?(#|no|nr|num|number|count|id)$"
        r"|(file|sample)[ _.-]?(no|nr|num|number|id)$|individual$|labels?$|hdr-\w+$|population([ _-]?id)?$"
        r"|event[ _-]info$|sort[ _-](result|classifier)|.*\bbits\b|drop[ _-]phase$"
        r"|(meta)?cluster(s|[ _-]?(id|no|num|number))?$"
        r"|(center|offset|width|residual|mahalanobis[ _-]dist|\d*bckg\d*(di)?|background)$"
        r"|(conta\w*|empty|blank|(autofluorescence|af)([ _-][ahw])?)$"
        r"|(umap|(opt-?)?t-?sne|bhsne\d*|latent)[ _-]?(\d+|[xy])$|pca[ _]?\d+$"
        r"|(best[ _-])?label[ _-]code$|probability$|outside[ _-]p$",
        re.I,
    ),
}
"""What a channel is that is no marker, by its name."""

TOLD_BY_DETECTOR = ("time", "scatter", "dna", "other")
"""Kinds that a detector's name tells, whatever it was said to be stained for.

Others it does not: antibodies are measured by platinum, too, and by detectors called DAPI-A.
"""

GREEK = str.maketrans({"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "κ": "k", "λ": "l"})
IGNORED = re.compile(r"[\s_.,:;/\\()\[\]-]+")
AREA, OTHER_SIZE = re.compile(r"(.*\S)[ _-]A$"), re.compile(r"(.*\S)[ _-][HW]$")
"""Pulses are measured by their area, height and width."""


def marker_name(name: str) -> str:
    """A marker's name without the metal or the detector that stand before or behind it.

    `139La_CD45RA`, `CD45RA(La139)Di` and `Comp-FITC-A :: CD45RA` are CD45RA.
    """
    detector, _, own = name.rpartition("::")
    own = COMPENSATED.sub("", own.strip() or detector.strip()).removesuffix("(v)").strip()
    own = AFTER.sub("", BEFORE.sub("", own, count=1))
    return own.strip(" _") or name.strip()


def is_named_after_metal(name: str) -> bool:
    """Whether a metal stands in a channel's name."""
    return bool(METAL.match(name) or BEFORE.match(name) or AFTER.search(name))


def marker_key(name: str) -> str:
    """What two names of one marker have in common: no metal, case, blanks, dashes, dots or underscores."""
    return _folded(marker_name(name))


def _whole_key(name: str) -> str:
    """The same with metal and detector."""
    return _folded(COMPENSATED.sub("", name.strip()))


def _folded(name: str) -> str:
    return IGNORED.sub("", name.translate(GREEK)).casefold() or name.casefold()


def channel_kind(name: str, detector: str = "") -> str:
    """`marker`, or what a channel of this name (as in the file) and this detector is instead."""
    for kind, pattern in KINDS.items():
        if pattern.match(name.strip()) or pattern.match(marker_name(name)):
            return kind
    return next((kind for kind in TOLD_BY_DETECTOR if KINDS[kind].match(detector.strip())), MARKER)


class MarkerTable(NamedTuple):
    """What `cytometry.markers` says: the marker that a name stands for; none for what is no marker.

    Attributes
    ----------
    channels
        By the whole name of a channel, of those in which a metal or a detector stands.
    markers
        By the key of a name, of all others.
    """

    channels: dict[str, str | None]
    markers: dict[str, str | None]

    def find(self, *names: str) -> tuple[bool, str | None]:
        """Whether one of a channel's names is in the table, and its marker."""
        for known, key in ((self.channels, _whole_key), (self.markers, marker_key)):
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
        key = _whole_key(str(name))
        known = table.markers if key == marker_key(str(name)) else table.channels
        own = None if marker is None or not str(marker).strip() else str(marker).strip()
        if known.setdefault(key, own) != own:
            raise InputError(
                f"cytometry.markers: '{name}' stands for {_said(own)} and for {_said(known[key])}; leave one "
                "of them"
            )
    return table


def named_channels(given: dict | str, files: Iterable[pd.DataFrame]) -> dict[str, bool]:
    """Every name of `cytometry.markers`, and whether a channel is called so; files as from `channels_of`."""
    pairs = table_rows(Path(given), "cytometry.markers") if isinstance(given, str) else given.items()
    whole, keys = set(), set()
    for var in files:
        for name, detector in zip(var[CHANNEL], var.get(DETECTOR, var[CHANNEL]), strict=True):
            for known in (name, _detector(name, detector)):
                whole.add(_whole_key(known))
                keys.add(marker_key(known))
    named = {}
    for name in (str(name) for name, _ in pairs):
        key = _whole_key(name)
        named[name] = key in (keys if key == marker_key(name) else whole)
    return without_header(named, given)


def _said(marker: str | None) -> str:
    return "no marker" if marker is None else f"'{marker}'"


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
    keep theirs, with a number where a name is taken. Columns: `kind`, `channel` (the name in the file), and
    `detector` where there is one.

    Raises
    ------
    InputError
        If a channel has no name, two are one marker, or none is a marker.
    """
    import pandas as pd

    names = [str(name) for name in var.index]
    detectors = list(map(_detector, names, var.get(DETECTOR, names)))
    nameless = [position for position, name in enumerate(names, start=1) if not name.strip()]
    if nameless:
        raise InputError(
            f"{where}: channel {', '.join(map(str, nameless))} of {len(names)} has no name; name it, or "
            "export the file without it"
        )
    kinds = [channel_kind(name, detector) for name, detector in zip(names, detectors, strict=True)]
    # Where nobody wrote down the antibodies, metals are all there is to go by.
    are_metals = [METAL.match(marker_name(name)) is not None for name in names]
    metals_alone = all(is_metal or kind != MARKER for is_metal, kind in zip(are_metals, kinds, strict=True))
    areas = {found[1] for detector in detectors if (found := AREA.match(detector))}
    final = list(names)
    for position, (name, detector) in enumerate(zip(names, detectors, strict=True)):
        is_told, marker = markers.find(name, detector)
        size = OTHER_SIZE.match(detector)
        if is_told:
            kinds[position] = MARKER if marker else "other"
        elif kinds[position] == MARKER and (
            (are_metals[position] and not metals_alone)  # a contamination, or an unused channel
            or (size and size[1] in areas)
        ):
            kinds[position] = "other"
        if kinds[position] == MARKER:
            final[position] = marker or marker_name(name)
    _check_once(names, detectors, kinds, final, where)
    if MARKER not in kinds:
        raise InputError(
            f"{where}: none of its channels is a marker's ({listed(names)}); name the markers in "
            "cytometry.markers"
        )
    index = pd.Index(_unique(final, kinds), dtype=object)
    columns = {KIND: kinds, CHANNEL: names} | ({DETECTOR: var[DETECTOR].tolist()} if DETECTOR in var else {})
    return pd.DataFrame(columns, index=index, dtype=object)


def _detector(name: str, detector: object) -> str:
    """A channel's detector: what stands before `::` where the file says nothing else."""
    told = detector if isinstance(detector, str) and detector.strip() else name
    before = COMPENSATED.sub("", told.partition("::")[0].strip())
    return before or told


def _check_once(
    names: list[str], detectors: list[str], kinds: list[str], markers: list[str], where: str
) -> None:
    """Refuse two channels of one marker."""
    first: dict[str, int] = {}
    for position, (kind, marker) in enumerate(zip(kinds, markers, strict=True)):
        if kind != MARKER:
            continue
        other = first.setdefault(marker_key(marker), position)
        if other == position:
            continue
        called = [
            f"'{names[n]}'" + (f" ({detectors[n]})" if names[other] == names[position] else "")
            for n in (other, position)
        ]
        # What drops the one and not the other.
        droppable = [
            name
            for one, rest in ((position, other), (other, position))
            for name in (names[one], detectors[one])
            if not read_markers({name: None}).find(names[rest], detectors[rest])[0]
        ]
        remedy = (
            f"tell them apart in cytometry.markers, or drop one there ('{droppable[0]}': null)"
            if droppable
            else "rename one of them in the file, or export it without"
        )
        raise InputError(f"{where}: the channels {' and '.join(called)} are both called {marker}; {remedy}")


def _unique(names: list[str], kinds: list[str]) -> list[str]:
    """Names with numbers behind those that stand again; markers, which are once each, have none."""
    taken = {name for name, kind in zip(names, kinds, strict=True) if kind == MARKER}
    unique = []
    for name, kind in zip(names, kinds, strict=True):
        own, number = name, 1
        while kind != MARKER and own in taken:
            number += 1
            own = f"{name}_{number}"
        taken.add(own)
        unique.append(own)
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
