"""Flow and mass cytometry: FCS 2.0, 3.0, 3.1 and 3.2, one file of list-mode events.

`fcs_text` reads the keywords, `fcs_events` converts the numbers. Events are read here in ranges, since
libraries read all of them at once.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..cytometry.transformation import all_stored
from ..errors import InputError
from .fcs_events import Channel, read_channels, record_of, stored_as
from .fcs_text import Keywords, read_keywords
from .interface import (
    BYTES_PER_CELL,
    BYTES_PER_VALUE,
    Block,
    Cells,
    FileSignature,
    Header,
    Options,
    refuse_place,
)
from .matrix import PREVIEW_VALUES, looks_like_counts

CELLS_AT_ONCE = 1 << 17
SPILLOVERS = ("SPILLOVER", "SPILL", "COMP")
"""Keywords of the spillover matrix between channels."""


class Spillover(NamedTuple):
    """Compensation of the spillover between channels.

    Attributes
    ----------
    channels
        Positions of the channels.
    inverse
        Factors for their values: channels × channels, float64.
    """

    channels: list[int]
    inverse: np.ndarray


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file begins like an FCS file."""
    return signature.start.startswith(b"FCS")


def header(path: Path, options: Options) -> Header:
    """Read the keywords of an FCS file; see `interface.Header`."""
    refuse_place(path, options)
    keywords = read_keywords(path)
    if keywords.text("MODE", "L").upper() != "L":
        raise InputError(
            f"{path}: contains histograms ($MODE is {keywords.text('MODE')}) instead of events; export the "
            "events (list mode)"
        )
    channels = read_channels(keywords)
    record = record_of(channels)
    n_events, start = _events_lie(keywords, record.itemsize)
    markers = [i for i, channel in enumerate(channels) if channel.kind == "marker"]
    # For cytometry all channels are read, since labeled files contain all of them.
    read = list(range(len(channels))) if options.modality == "cytometry" else markers
    if not read:
        raise InputError(
            f"{path}: none of its channels ({_listed(channel.detector for channel in channels)}) is a "
            "marker; export it with its markers"
        )
    spillover = _spillover(keywords, channels, options) if options.compensate else None
    var = pd.DataFrame(
        {name: [getattr(channels[i], name) for i in read] for name in ("detector", "marker")},
        index=pd.Index([channels[i].marker or channels[i].detector for i in read], dtype=object),
        dtype=object,
    )
    found = Header(
        path=path,
        format="fcs",
        options=options,
        n_cells=n_events,
        n_genes=len(read),
        nonzeros=None,
        dtype=stored_as(keywords),
        storage="dense",
        places={"matrix": False},
        counts="matrix",
        var=var,
        obs_columns=list(dict.fromkeys(c.detector for c in channels if c.kind != "marker")),
        preview=np.empty(0),
        values="intensities",
        remarks=_remarks(keywords, channels, spillover, options),
        details={
            "start": start,
            "record": record,
            "channels": channels,
            "read": read,
            "machine": keywords.text("CYT"),
            "spillover": spillover,
        },
    )
    first = next(_events(found, 0, min(found.n_cells, -(-PREVIEW_VALUES // len(read)))))
    preview = _intensities(found, first).ravel()
    return found.replace(preview=preview, places={"matrix": looks_like_counts(preview)})


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Numbers of the events as names, and values of given channels that are not markers."""
    for start in range(0, header.n_cells, CELLS_AT_ONCE):
        stop = min(header.n_cells, start + CELLS_AT_ONCE)
        obs = _obs(header, next(_events(header, start, stop)), columns) if columns else {}
        yield Cells(_names(start, stop), obs)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int, stop: int
) -> Iterator[Block]:
    """Intensities of the selected channels, in row blocks; see `formats.blocks`."""
    details = header.details
    dense = details["record"].itemsize + 4 * len(details["channels"])
    per_event = BYTES_PER_CELL + dense + BYTES_PER_VALUE * header.n_genes
    for events in _events(header, start, stop, max(1, max_bytes // per_event)):
        end = start + len(events)
        yield Block(
            all_stored(_intensities(header, events)), _names(start, end), _obs(header, events, columns)
        )
        start = end


def _events_lie(keywords: Keywords, n_bytes: int) -> tuple[int, int]:
    """Number of events of `n_bytes` each, and the position of the first.

    Both the header and the keywords give the position, and may disagree: the right one has the length of $TOT
    events. Some software gives the byte after the last as the last one.
    """
    path = keywords.path
    in_header, in_text = keywords.data, (keywords.whole("BEGINDATA"), keywords.whole("ENDDATA"))
    # FCS 2.0 gives the position in the header only.
    candidates = [in_header] if keywords.version == "FCS2.0" and in_header[0] else [in_text, in_header]
    places = {(begin, end - begin + 1) for begin, end in candidates if 0 < begin <= end}
    # FCS 2.0 may leave out the number of events.
    n_events = keywords.whole("TOT", max((length for _, length in places), default=0) // n_bytes)
    if n_events <= 0:
        raise InputError(f"{path}: holds no events ($TOT is {n_events}); leave it out")
    size = n_events * n_bytes
    fitting = {begin for begin, length in places if length in (size, size + 1)}
    if len(fitting) != 1:
        ranges = " or ".join(f"{begin} to {end}" for begin, end in dict.fromkeys(candidates))
        raise InputError(
            f"{path}: {n_events} events ($TOT) of {n_bytes} bytes are {size} bytes, which do not fit their "
            f"place (bytes {ranges}); the file is damaged: export it again"
        )
    (start,) = fitting
    end = max(start + size, in_text[1] if keywords.version != "FCS2.0" else 0)
    if end > keywords.file_size:
        raise InputError(
            f"{path}: is {keywords.file_size} bytes long, but its events end at byte {end}; it is "
            "incomplete: copy or export it again"
        )
    return n_events, start


def _spillover(keywords: Keywords, channels: list[Channel], options: Options) -> Spillover:
    """The file's spillover matrix, inverted."""
    path = keywords.path
    keyword = next((keyword for keyword in SPILLOVERS if keywords.text(keyword)), None)
    if keyword is None:
        raise InputError(
            f"{path}: {options.key('compensate')} is true, but the file has no spillover matrix ($SPILLOVER, "
            "SPILL or $COMP); set the key to false, or export the file with its matrix"
        )
    n_text, *fields = [field.strip() for field in keywords.text(keyword).split(",")]
    n = int(n_text) if n_text.isdigit() else 0
    if n == 0 or len(fields) != n + n * n:
        raise InputError(
            f"{path}: {keyword} is not a number n, followed by n detectors and their matrix (it begins "
            f"'{keywords.text(keyword)[:60]}'); export the file again, or set {options.key('compensate')} to "
            "false"
        )
    positions = {channel.detector: i for i, channel in reversed(list(enumerate(channels)))}
    missing = [name for name in fields[:n] if name not in positions]
    if missing:
        raise InputError(
            f"{path}: {keyword} names detectors that the file does not have ({_listed(missing)}; it has "
            f"{_listed(positions)}); export it again, or set {options.key('compensate')} to false"
        )
    try:
        matrix = np.array(fields[n:], dtype=np.float64).reshape(n, n)
        inverse = np.linalg.inv(matrix)
        if not np.isfinite(inverse).all():
            raise ValueError("not all are finite")
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path}: {keyword} is not an invertible matrix of numbers ({error}); export it again, or set "
            f"{options.key('compensate')} to false"
        ) from error
    return Spillover([positions[name] for name in fields[:n]], inverse)


def _remarks(
    keywords: Keywords, channels: list[Channel], spillover: Spillover | None, options: Options
) -> list[str]:
    left_out = [f"{c.detector} ({c.kind})" for c in channels if c.kind != "marker"]
    unnamed = [c.detector for c in channels if c.kind == "marker" and not c.marker]
    remarks = []
    if left_out:
        remarks.append(f"channels that are not markers: {', '.join(left_out)}")
    if not any(c.marker for c in channels):
        remarks.append("no channel has a marker name ($PnS); channels are named by detector ($PnN)")
    elif unnamed:
        remarks.append(f"channels without a marker name ($PnS) are named by detector: {', '.join(unnamed)}")
    if unscaled := [c.detector for n, c in enumerate(channels, start=1) if not keywords.text(f"P{n}E")]:
        remarks.append(f"channels without $PnE are taken as linear: {_listed(unscaled)}")
    if raised := [c.detector for c in channels if c.decades > 0 and c.stored.is_float]:
        remarks.append(
            "floating-point channels are taken as logarithmic because of their $PnE, although FCS 3.1 "
            f"forbids it: {_listed(raised)}"
        )
    if spillover:
        remarks.append(f"spillover between {len(spillover.channels)} detectors is undone")
    elif any(keywords.text(keyword) for keyword in SPILLOVERS):
        remarks.append(f"the file's spillover matrix is not applied ({options.key('compensate')} is false)")
    if _is_followed(keywords):
        remarks.append("the file contains several datasets ($NEXTDATA); the first one is read")
    return remarks + keywords.remarks


def _is_followed(keywords: Keywords) -> bool:
    """True if another dataset begins at $NEXTDATA; some software writes the end of the file there."""
    begin = keywords.whole("NEXTDATA")
    with open(keywords.path, "rb") as file:
        return begin > 0 and file.seek(begin) == begin and file.read(3) == b"FCS"


def _events(header: Header, start: int, stop: int, at_once: int | None = None) -> Iterator[np.ndarray]:
    """Yield stored events from `start` to `stop`, `at_once` at a time."""
    record = header.details["record"]
    with open(header.path, "rb") as file:
        file.seek(header.details["start"] + start * record.itemsize)
        while start < stop:
            events = np.fromfile(file, dtype=record, count=min(at_once or stop, stop - start))
            if len(events) == 0:
                raise InputError(
                    f"{header.path}: ends after {start} of its {header.n_cells} events; it is incomplete: "
                    "copy or export it again"
                )
            yield events
            start += len(events)


def _intensities(header: Header, events: np.ndarray) -> np.ndarray:
    """Linear values of the selected channels: events × channels, float32."""
    details = header.details
    values = np.empty((len(events), len(details["channels"])), dtype=np.float32)
    for i, channel in enumerate(details["channels"]):
        values[:, i] = channel.linear(events[str(i)])
    if details["spillover"]:
        at = details["spillover"].channels
        values[:, at] = values[:, at] @ details["spillover"].inverse
    return values[:, details["read"]]


def _obs(header: Header, events: np.ndarray, columns: list[str]) -> dict[str, np.ndarray]:
    """Linear values of the given channels (float64)."""
    channels = header.details["channels"]
    positions = {c.detector: i for i, c in reversed(list(enumerate(channels))) if c.kind != "marker"}
    return {
        column: channels[positions[column]].linear(events[str(positions[column])]).astype(np.float64)
        for column in columns
    }


def _names(start: int, stop: int) -> np.ndarray:
    return np.array([f"event{number}" for number in range(start + 1, stop + 1)], dtype=object)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join([*names[:10], "…"] if len(names) > 10 else names)
