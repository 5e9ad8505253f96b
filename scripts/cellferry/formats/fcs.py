"""Flow and mass cytometry: FCS 2.0, 3.0 and 3.1, one file of list-mode events.

Keywords are parsed by flowio; events are read here, in ranges, since flowio reads all of them at once.
Values are linear, as the standard defines them: integers without the bits that $PnR excludes, logarithmic
channels ($PnE) raised, amplified ones divided by their gain ($PnG). Time stays in the file's own steps.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from flowio import FlowData
from flowio.exceptions import FCSParsingError

from ..errors import InputError
from ..intensities import all_stored
from ..panel import channel_kind
from .interface import BYTES_PER_CELL, BYTES_PER_VALUE, Block, Cells, Header, Looks, Options, refuse_place
from .matrix import GLANCE, looks_like_counts

CELLS_AT_ONCE = 1 << 17
VERSIONS = ("FCS2.0", "FCS3.0", "FCS3.1")
WIDTHS = ("8", "16", "32", "64")
SPILLOVERS = ("spillover", "spill", "comp")
"""Keywords, as flowio writes them, of the matrix that tells how channels spill into each other."""


class Channel(NamedTuple):
    """One of the numbers that are measured of each event.

    Attributes
    ----------
    detector, marker
        Short name ($PnN), and what it is stained for ($PnS; empty where nothing is said).
    kind
        `marker`, or what else it is, see `cellferry.panel.KINDS`.
    mask
        Bits of an integer that count; None if all do.
    decades, at_zero, most
        Of a logarithmic channel: the stored value 0 stands for `at_zero`, `most` for as many decades more.
        A linear one has no decades.
    gain
        What values are divided by.
    """

    detector: str
    marker: str
    kind: str
    mask: int | None
    decades: float
    at_zero: float
    most: float
    gain: float

    def linear(self, stored: np.ndarray) -> np.ndarray:
        """Stored values on the linear scale: float64 where there is something to calculate."""
        values = stored if self.mask is None else stored & stored.dtype.type(self.mask)
        if self.decades > 0:
            values = 10 ** (self.decades * values.astype(np.float64) / self.most) * self.at_zero
        return values.astype(np.float64) / self.gain if self.gain not in (0, 1) else values


class Spillover(NamedTuple):
    """What must be undone of how channels spill into each other.

    Attributes
    ----------
    channels
        Positions of the channels.
    inverse
        What their values are multiplied by: channels × channels, float64.
    """

    channels: list[int]
    inverse: np.ndarray


def recognises(path: Path, looks: Looks) -> bool:
    """Whether a file begins as FCS files do."""
    return looks.start.startswith(b"FCS")


def header(path: Path, options: Options) -> Header:
    """Read the keywords of an FCS file; see `interface.Header`."""
    refuse_place(path, options)
    flow, version = _keywords(path)
    text = flow.text
    if text.get("mode", "L").upper() != "L":
        raise InputError(
            f"{path}: holds histograms ($MODE is {text['mode']}), not the events they were made of; export "
            "the events (list mode)"
        )
    record = _record(path, text)
    channels = _channels(path, flow)
    start = _start(path, flow, version, record.itemsize * flow.event_count)
    markers = [i for i, channel in enumerate(channels) if channel.kind == "marker"]
    # For cytometry all channels are read: labels go back to files with all of them.
    read = list(range(len(channels))) if options.modality == "cytometry" else markers
    if not read:
        raise InputError(
            f"{path}: none of its channels ({_listed(channel.detector for channel in channels)}) is a "
            "marker's; export it with them"
        )
    spillover = _spillover(path, text, channels, options) if options.compensate else None
    var = pd.DataFrame(
        {name: [getattr(channels[i], name) for i in read] for name in ("detector", "marker")},
        index=pd.Index([channels[i].marker or channels[i].detector for i in read], dtype=object),
        dtype=object,
    )
    found = Header(
        path=path,
        format="fcs",
        options=options,
        n_cells=flow.event_count,
        n_genes=len(read),
        nonzeros=None,
        dtype={"I": "integer", "F": "float32", "D": "float64"}[text["datatype"].upper()],
        storage="dense",
        places={"matrix": False},
        counts="matrix",
        var=var,
        obs_columns=list(dict.fromkeys(c.detector for c in channels if c.kind != "marker")),
        glanced=np.empty(0),
        values="intensities",
        remarks=_remarks(text, channels, spillover, options),
        details={
            "start": start,
            "record": record,
            "channels": channels,
            "read": read,
            "machine": text.get("cyt", ""),
            "spillover": spillover,
        },
    )
    first = next(_events(found, 0, min(found.n_cells, -(-GLANCE // len(read)))))
    glanced = _intensities(found, first).ravel()
    return found.replace(glanced=glanced, places={"matrix": looks_like_counts(glanced)})


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Numbers of the events as their names, and the given channels that are no markers'."""
    for start in range(0, header.n_cells, CELLS_AT_ONCE):
        stop = min(header.n_cells, start + CELLS_AT_ONCE)
        obs = _obs(header, next(_events(header, start, stop)), columns) if columns else {}
        yield Cells(_names(start, stop), obs)


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int, stop: int
) -> Iterator[Block]:
    """Intensities of the channels that are read, in row blocks; see `formats.blocks`."""
    details = header.details
    dense = details["record"].itemsize + 4 * len(details["channels"])
    per_event = BYTES_PER_CELL + dense + BYTES_PER_VALUE * header.n_genes
    for events in _events(header, start, stop, max(1, max_bytes // per_event)):
        end = start + len(events)
        yield Block(
            all_stored(_intensities(header, events)), _names(start, end), _obs(header, events, columns)
        )
        start = end


def _keywords(path: Path) -> tuple[FlowData, str]:
    """The file's keywords, and the version it says it is of."""
    with open(path, "rb") as file:
        version = file.read(6).decode("latin-1")
        if not version.startswith("FCS"):
            raise InputError(
                f"{path}: does not begin as FCS files do; if it is compressed unpack it, so that it can be "
                "read in parts"
            )
        if version not in VERSIONS:
            raise InputError(
                f"{path}: is of version '{version}', and {', '.join(VERSIONS)} are read; export it as one of "
                "these"
            )
        file.seek(0)
        try:
            # Both places that tell where the events are are looked at in `_start`. With an offset given, the
            # first of several datasets is read instead of none.
            return FlowData(file, only_text=True, ignore_offset_discrepancy=True, nextdata_offset=0), version
        except KeyError as error:
            raise InputError(
                f"{path}: lacks the keyword ${str(error.args[0]).upper()}, which FCS files must have; export "
                "it again"
            ) from error
        except (FCSParsingError, ValueError, IndexError, EOFError) as error:
            raise InputError(
                f"{path}: its keywords cannot be read, or do not fit the file ({error}): it is incomplete or "
                "damaged; copy or export it again"
            ) from error


def _channels(path: Path, flow: FlowData) -> list[Channel]:
    """The channels in their order in an event."""
    if sorted(flow.channels) != list(range(1, flow.channel_count + 1)):
        raise InputError(
            f"{path}: $PAR promises {flow.channel_count} channels, and {len(flow.channels)} are named "
            "($PnN); the file is damaged: export it again"
        )
    is_integer = flow.data_type.upper() == "I"
    channels = []
    for n in range(1, flow.channel_count + 1):
        keywords = flow.channels[n]
        detector, marker = keywords["pnn"].strip(), keywords["pns"].strip()
        decades, at_zero = keywords["pne"]
        most = keywords["pnr"]
        if decades > 0 and most <= 0:
            raise InputError(
                f"{path}: channel {detector} is logarithmic and its $P{n}R is {most:g}; export it again"
            )
        # Bits above the range mean nothing; instruments leave noise there.
        mask = (1 << (int(most) - 1).bit_length()) - 1 if is_integer and most >= 1 else None
        if mask is not None and mask >= (1 << int(flow.text.get(f"p{n}b", 0))) - 1:
            mask = None
        channels.append(
            Channel(
                detector,
                marker,
                channel_kind(marker or detector, detector),
                mask,
                decades,
                at_zero,
                most,
                keywords["png"],
            )
        )
    return channels


def _record(path: Path, text: dict[str, str]) -> np.dtype:
    """How an event lies in the file."""
    order = [part.strip() for part in text["byteord"].split(",")] if "byteord" in text else []
    ascending = [str(n) for n in range(1, len(order) + 1)]
    if not order or order not in (ascending, ascending[::-1]):
        raise InputError(
            f"{path}: $BYTEORD is '{text.get('byteord', '')}', which is neither 1,2,3,4 nor 4,3,2,1; export "
            "it again"
        )
    letter = "<" if order == ascending else ">"
    kind = text["datatype"].upper()
    n_channels = int(text["par"])
    if kind in ("F", "D"):
        types = ["f4" if kind == "F" else "f8"] * n_channels
    elif kind == "I":
        widths = [text.get(f"p{n}b", "").strip() for n in range(1, n_channels + 1)]
        strange = next((width for width in widths if width not in WIDTHS), None)
        if strange is not None:
            raise InputError(
                f"{path}: holds integers of '{strange}' bits ($PnB), and {', '.join(WIDTHS)} are read; "
                "export it as FCS 3.1 with floating-point data"
            )
        types = [f"u{int(width) // 8}" for width in widths]
    else:
        raise InputError(
            f"{path}: $DATATYPE is '{text['datatype']}', and I, F and D are read; export it as FCS 3.1 with "
            "floating-point data"
        )
    return np.dtype([(f"{n}", f"{letter}{type_}") for n, type_ in enumerate(types)])


def _start(path: Path, flow: FlowData, version: str, n_bytes: int) -> int:
    """Where the events begin, of the places that the header and the keywords tell, which may disagree.

    The place is right whose length is that of as many events as $TOT says. Some software says that the last
    byte is the one after it.
    """
    if flow.event_count == 0:
        raise InputError(f"{path}: holds no events ($TOT is 0); leave it out")
    text, places = flow.text, []
    if version != "FCS2.0" and "begindata" in text:
        places.append((int(text["begindata"]), int(text["enddata"])))
    places.append((flow.header["data_start"], flow.header["data_stop"]))
    fitting = {begin for begin, end in places if begin > 0 and end - begin + 1 in (n_bytes, n_bytes + 1)}
    if len(fitting) != 1:
        told = " or ".join(f"{begin} to {end}" for begin, end in dict.fromkeys(places))
        raise InputError(
            f"{path}: {flow.event_count} events ($TOT) of {n_bytes // flow.event_count} bytes are {n_bytes} "
            f"bytes, and do not fit where they should be (bytes {told}); the file is damaged: export it again"
        )
    (start,) = fitting
    if start + n_bytes > flow.file_size:
        raise InputError(
            f"{path}: is {flow.file_size} bytes long, and its events end at byte {start + n_bytes}; it is "
            "incomplete: copy or export it again"
        )
    return start


def _spillover(path: Path, text: dict[str, str], channels: list[Channel], options: Options) -> Spillover:
    """The matrix that the file holds, inverted."""
    keyword = next((keyword for keyword in SPILLOVERS if text.get(keyword, "").strip()), None)
    if keyword is None:
        raise InputError(
            f"{path}: {options.key('compensate')} is true, and the file holds no spillover matrix "
            "($SPILLOVER, SPILL or $COMP); set the key to false, or export the file with its matrix"
        )
    n_text, *fields = [field.strip() for field in text[keyword].split(",")]
    n = int(n_text) if n_text.isdigit() else 0
    if n == 0 or len(fields) != n + n * n:
        raise InputError(
            f"{path}: {keyword.upper()} is no list of a number, as many detectors and their matrix (it "
            f"begins '{text[keyword][:60]}'); export the file again, or set {options.key('compensate')} to "
            "false"
        )
    positions = {channel.detector: i for i, channel in reversed(list(enumerate(channels)))}
    missing = [name for name in fields[:n] if name not in positions]
    if missing:
        raise InputError(
            f"{path}: {keyword.upper()} names detectors that the file does not hold ({_listed(missing)}; it "
            f"has {_listed(positions)}); export it again, or set {options.key('compensate')} to false"
        )
    try:
        matrix = np.array(fields[n:], dtype=np.float64).reshape(n, n)
        inverse = np.linalg.inv(matrix)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path}: {keyword.upper()} holds no matrix of numbers that can be inverted ({error}); export it "
            f"again, or set {options.key('compensate')} to false"
        ) from error
    return Spillover([positions[name] for name in fields[:n]], inverse)


def _remarks(
    text: dict[str, str], channels: list[Channel], spillover: Spillover | None, options: Options
) -> list[str]:
    left_out = [f"{c.detector} ({c.kind})" for c in channels if c.kind != "marker"]
    unnamed = [c.detector for c in channels if c.kind == "marker" and not c.marker]
    remarks = []
    if left_out:
        remarks.append(f"channels that are no markers': {', '.join(left_out)}")
    if not any(c.marker for c in channels):
        remarks.append("no channel has a marker's name ($PnS), so they go by their detectors' ($PnN)")
    elif unnamed:
        remarks.append(
            f"channels without a marker's name ($PnS) go by their detector's: {', '.join(unnamed)}"
        )
    if spillover:
        remarks.append(f"spillover between {len(spillover.channels)} detectors is undone")
    elif any(text.get(keyword, "").strip() for keyword in SPILLOVERS):
        remarks.append(f"a spillover matrix is there and not applied ({options.key('compensate')} is false)")
    if text.get("nextdata", "0").strip() not in ("", "0"):
        remarks.append("there are several datasets in the file ($NEXTDATA); the first one is read")
    if text.get("beginstext", "0").strip() not in ("", "0"):
        remarks.append("the supplemental keywords ($BEGINSTEXT) are not read")
    return remarks


def _events(header: Header, start: int, stop: int, at_once: int | None = None) -> Iterator[np.ndarray]:
    """Events as they are stored, from `start` to `stop`, so many at once."""
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
    """Linear values of the channels that are read: events × channels, float32."""
    details = header.details
    values = np.empty((len(events), len(details["channels"])), dtype=np.float32)
    for i, channel in enumerate(details["channels"]):
        values[:, i] = channel.linear(events[str(i)])
    if details["spillover"]:
        at = details["spillover"].channels
        values[:, at] = values[:, at] @ details["spillover"].inverse
    return values[:, details["read"]]


def _obs(header: Header, events: np.ndarray, columns: list[str]) -> dict[str, np.ndarray]:
    """Linear values of the given channels, as float64."""
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
