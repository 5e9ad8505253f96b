"""Layout of events in an FCS file, and conversion of their numbers.

Values are linear, as the standard defines them: bits beyond $PnR are removed from integers, logarithmic
channels ($PnE) are converted, amplified ones are divided by their gain ($PnG). Time stays in the file's
steps.
"""

from typing import NamedTuple

import numpy as np

from ..cytometry.channels import channel_kind
from ..errors import InputError
from .fcs_text import Keywords

FLOATS = {"F": 4, "D": 8}
DTYPES = {"I": "integer", "F": "float32", "D": "float64"}


class Stored(NamedTuple):
    """Storage of a channel's numbers.

    Attributes
    ----------
    field
        Field of the structured array of events: the number, or its bytes if numpy has no such type (24 bits,
        bytes in mixed order).
    places
        Positions of the bytes within a number, least significant first.
    type
        Little-endian type to which such bytes are converted; None if the field is the number itself.
    """

    field: np.dtype
    places: list[int]
    type: np.dtype | None

    @property
    def is_float(self) -> bool:
        """True if the numbers are floating-point."""
        return (self.field if self.type is None else self.type).kind == "f"

    def values(self, events: np.ndarray) -> np.ndarray:
        """Numbers of the events from the channel's field, or from its bytes (events × bytes, uint8)."""
        if self.type is None:
            return events
        filled = np.zeros((len(events), self.type.itemsize), dtype=np.uint8)
        filled[:, : len(self.places)] = events[:, self.places]
        return filled.view(self.type)[:, 0]


class Channel(NamedTuple):
    """A channel: one of the numbers measured per event.

    Attributes
    ----------
    detector, marker
        Short name ($PnN), and marker ($PnS; empty if missing).
    kind
        `marker`, or another of `cellferry.cytometry.channels.KINDS`.
    stored
        Storage of its numbers.
    mask
        Valid bits of an integer; None if all are.
    decades, at_zero, most
        For a logarithmic channel: the stored value 0 is `at_zero`, and `most` is this many decades more. A
        linear channel has 0 decades.
    gain
        Divisor of the values.
    """

    detector: str
    marker: str
    kind: str
    stored: Stored
    mask: int | None
    decades: float
    at_zero: float
    most: float
    gain: float

    def linear(self, events: np.ndarray) -> np.ndarray:
        """Stored values on the linear scale; float64 if they are converted."""
        values = self.stored.values(events)
        if self.mask is not None:
            values = values & values.dtype.type(self.mask)
        if self.decades > 0:
            values = 10 ** (self.decades * values.astype(np.float64) / self.most) * self.at_zero
        return values.astype(np.float64) / self.gain if self.gain not in (0, 1) else values


def read_channels(keywords: Keywords) -> list[Channel]:
    """The channels in the order of an event.

    Raises
    ------
    InputError
        If the keywords do not describe the storage, or describe an unsupported one.
    """
    return [_channel(keywords, n) for n in range(1, keywords.whole("PAR") + 1)]


def record_of(channels: list[Channel]) -> np.dtype:
    """Structured type of an event, with a field `0`, `1`, … per channel."""
    return np.dtype([(f"{i}", channel.stored.field) for i, channel in enumerate(channels)])


def stored_as(keywords: Keywords) -> str:
    """Type of the stored values; all types if channels differ ($PnDATATYPE)."""
    kinds = [_kind(keywords, n) for n in range(1, keywords.whole("PAR") + 1)]
    return " and ".join(name for kind, name in DTYPES.items() if kind in kinds)


def _channel(keywords: Keywords, n: int) -> Channel:
    detector, marker = keywords.text(f"P{n}N"), keywords.text(f"P{n}S")
    kind = _kind(keywords, n)
    width = FLOATS.get(kind) or _width(keywords, n)
    decades, at_zero = keywords.numbers(f"P{n}E", (0, 0))
    # The range of linear floats is unrelated to their values, and can be anything.
    most = keywords.number(f"P{n}R") if kind == "I" or decades > 0 else 0
    if decades > 0 and most <= 0:
        raise InputError(
            f"{keywords.path}: channel {detector} is logarithmic but its $P{n}R is {most:g}; export it again"
        )
    # Bits above the range are invalid; instruments leave noise there.
    mask = (1 << (int(most) - 1).bit_length()) - 1 if kind == "I" and most >= 1 else None
    if mask is not None and mask >= (1 << 8 * width) - 1:
        mask = None
    # Time is not amplified, even if a file has a gain for it.
    gain = 1 if detector.lower() == "time" else keywords.number(f"P{n}G", 1)
    return Channel(
        detector,
        marker,
        channel_kind(marker or detector, detector),
        _stored(keywords, n, kind, width),
        mask,
        decades,
        # The standard treats a 0 here as a mistake for 1.
        at_zero or 1.0,
        most,
        gain,
    )


def _kind(keywords: Keywords, n: int) -> str:
    """Type of a channel's values, I, F or D: its own ($PnDATATYPE, since FCS 3.2) or the common one."""
    own_type = f"P{n}DATATYPE"
    keyword = own_type if keywords.version == "FCS3.2" and keywords.text(own_type) else "DATATYPE"
    kind = keywords.text(keyword).upper()
    if kind not in DTYPES:
        raise InputError(
            f"{keywords.path}: ${keyword} is '{keywords.text(keyword)}', but only I, F and D are read; "
            "export it as FCS 3.1 with floating-point data"
        )
    return kind


def _width(keywords: Keywords, n: int) -> int:
    """Size of an integer in bytes."""
    width = keywords.text(f"P{n}B")
    if width not in [f"{8 * n_bytes}" for n_bytes in range(1, 9)]:
        raise InputError(
            f"{keywords.path}: contains integers of '{width}' bits ($P{n}B), but only 8, 16, 24, … 64 are "
            "read; export it as FCS 3.1 with floating-point data"
        )
    return int(width) // 8


def _stored(keywords: Keywords, n: int, kind: str, width: int) -> Stored:
    order = [part.strip() for part in keywords.text("BYTEORD").split(",")]
    ascending = [str(rank) for rank in range(1, len(order) + 1)]
    places = list(range(width))
    if order in (ascending, ascending[::-1]) or (width == 1 and sorted(order) == ascending):
        is_little = order == ascending
        if width in (1, 2, 4, 8):
            return Stored(
                np.dtype(f"{'<' if is_little else '>'}{'u' if kind == 'I' else 'f'}{width}"), places, None
            )
        places = places if is_little else places[::-1]
    elif len(order) == width and sorted(order) == ascending:
        places = [order.index(rank) for rank in ascending]
    else:
        raise InputError(
            f"{keywords.path}: $BYTEORD is '{keywords.text('BYTEORD')}', which is not an order of "
            f"{width} bytes ($P{n}B); export it with 1,2,3,4 or 4,3,2,1"
        )
    type_ = f"f{width}" if kind != "I" else "u4" if width <= 4 else "u8"
    return Stored(np.dtype((np.uint8, width)), places, np.dtype(f"<{type_}"))
