"""Channels of cytometry: markers and other kinds."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..labels.tables import table_rows, without_header
from .marker_names import (
    CHANNEL,
    COMPENSATED,
    DETECTOR,
    KIND,
    MARKER,
    METAL,
    MarkerTable,
    listed,
    marker_key,
    marker_name,
    read_markers,
    whole_key,
)

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
        r"|(best[ _-])?label[ _-]code$|probability$|(ood[ _-]pvalue|outside[ _-]p)$",
        re.I,
    ),
}
"""Kinds of channels other than markers, by their names."""

TOLD_BY_DETECTOR = ("time", "scatter", "dna", "other")
"""Kinds that a detector's name decides, whatever the stain.

Other kinds are not decided by it: platinum and detectors named DAPI-A measure antibodies, too.
"""

AREA, OTHER_SIZE = re.compile(r"(.*\S)[ _-]A$"), re.compile(r"(.*\S)[ _-][HW]$")
"""Pulses are measured by their area, height and width."""


def channel_kind(name: str, detector: str = "") -> str:
    """`marker`, or the kind of another channel, by its name in the file and its detector."""
    for kind, pattern in KINDS.items():
        if pattern.match(name.strip()) or pattern.match(marker_name(name)):
            return kind
    return next((kind for kind in TOLD_BY_DETECTOR if KINDS[kind].match(detector.strip())), MARKER)


def named_channels(given: dict | str, files: Iterable[pd.DataFrame]) -> dict[str, bool]:
    """Every name of `cytometry.markers`, and whether a channel has it; files as from `channels_of`."""
    pairs = table_rows(Path(given), "cytometry.markers") if isinstance(given, str) else given.items()
    whole, keys = set(), set()
    for var in files:
        for name, detector in zip(var[CHANNEL], var.get(DETECTOR, var[CHANNEL]), strict=True):
            for known in (name, _detector(name, detector)):
                whole.add(whole_key(known))
                keys.add(marker_key(known))
    named = {}
    for name in (str(name) for name, _ in pairs):
        key = whole_key(name)
        named[name] = key in (keys if key == marker_key(name) else whole)
    return without_header(named, given)


def channels_of(var: pd.DataFrame, markers: MarkerTable, where: str) -> pd.DataFrame:
    """The channels of a file: their names and kinds.

    Parameters
    ----------
    var
        Names in the file as the index; an optional column `detector`.
    markers
        Their names in the configuration.
    where
        The file, for messages.

    Returns
    -------
    The index has markers' names without metals and detectors, or their names in `markers`; other channels
    keep their names, with a number for duplicates. Columns: `kind`, `channel` (the name in the file), and
    `detector` if present.

    Raises
    ------
    InputError
        If a channel has no name, two are one marker, or there are no markers.
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
    # In files without antibodies, metals are the only names.
    are_metals = [METAL.match(marker_name(name)) is not None for name in names]
    metals_alone = all(is_metal or kind != MARKER for is_metal, kind in zip(are_metals, kinds, strict=True))
    areas = {match[1] for detector in detectors if (match := AREA.match(detector))}
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
    """A channel's detector; by default the text before `::`."""
    detector_name = detector if isinstance(detector, str) and detector.strip() else name
    before = COMPENSATED.sub("", detector_name.partition("::")[0].strip())
    return before or detector_name


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
        # A name that drops one channel only.
        droppable = [
            name
            for one, rest in ((position, other), (other, position))
            for name in (names[one], detectors[one])
            if not read_markers({name: None}).find(names[rest], detectors[rest])[0]
        ]
        remedy = (
            f"give them different names in cytometry.markers, or drop one there ('{droppable[0]}': null)"
            if droppable
            else "rename one of them in the file, or export it without"
        )
        raise InputError(f"{where}: the channels {' and '.join(called)} are both called {marker}; {remedy}")


def _unique(names: list[str], kinds: list[str]) -> list[str]:
    """Names with numbers added to duplicates; markers are unique."""
    taken = {name for name, kind in zip(names, kinds, strict=True) if kind == MARKER}
    unique = []
    for name, kind in zip(names, kinds, strict=True):
        candidate, number = name, 1
        while kind != MARKER and candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique
