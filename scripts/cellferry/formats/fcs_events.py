"""How events lie in an FCS file, and what their numbers stand for.

Values are linear, as the standard defines them: integers without the bits that $PnR excludes, logarithmic
channels ($PnE) raised, amplified ones divided by their gain ($PnG). Time stays in the file's own steps.
"""

from typing import NamedTuple

import numpy as np

from ..cytometry.channels import channel_kind
from ..errors import InputError
from .fcs_text import Keywords

FLOATS = {"F": 4, "D": 8}
DTYPES = {"I": "integer", "F": "float32", "D": "float64"}


class Stored(NamedTuple):
    """How the numbers of a channel lie in the file.

    Attributes
    ----------
    field
        Of the structured array that holds events: the number itself, or its bytes where numpy has no type
        for it (24 bits, bytes in mixed order).
    places
        Of bytes, least significant first, their places within a number.
    type
        Little-endian type that such bytes become; None where the field is the number itself.
    """

    field: np.dtype
    places: list[int]
    type: np.dtype | None

    @property
    def is_float(self) -> bool:
        """Whether they are floating-point numbers."""
        return (self.field if self.type is None else self.type).kind == "f"

    def values(self, events: np.ndarray) -> np.ndarray:
        """Numbers of the events: the channel's field, or its bytes (events × bytes, uint8)."""
        if self.type is None:
            return events
        filled = np.zeros((len(events), self.type.itemsize), dtype=np.uint8)
        filled[:, : len(self.places)] = events[:, self.places]
        return filled.view(self.type)[:, 0]


class Channel(NamedTuple):
    """One of the numbers that are measured of each event.

    Attributes
    ----------
    detector, marker
        Short name ($PnN), and what it is stained for ($PnS; empty where nothing is said).
    kind
        `marker`, or what else it is, see `cellferry.cytometry.channels.KINDS`.
    stored
        How its numbers lie in the file.
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
    stored: Stored
    mask: int | None
    decades: float
    at_zero: float
    most: float
    gain: float

    def linear(self, events: np.ndarray) -> np.ndarray:
        """Its stored values on the linear scale: float64 where there is something to calculate."""
        values = self.stored.values(events)
        if self.mask is not None:
            values = values & values.dtype.type(self.mask)
        if self.decades > 0:
            values = 10 ** (self.decades * values.astype(np.float64) / self.most) * self.at_zero
        return values.astype(np.float64) / self.gain if self.gain not in (0, 1) else values


def read_channels(keywords: Keywords) -> list[Channel]:
    """The channels in their order in an event.

    Raises
    ------
    InputError
        If the keywords do not say how they are stored, or in a way that is not read.
    """
    return [_channel(keywords, n) for n in range(1, keywords.whole("PAR") + 1)]


def record_of(channels: list[Channel]) -> np.dtype:
    """Structured type of an event: fields `0`, `1`, … for the channels."""
    return np.dtype([(f"{i}", channel.stored.field) for i, channel in enumerate(channels)])


def stored_as(keywords: Keywords) -> str:
    """Type of the stored values; of all of them where channels differ ($PnDATATYPE)."""
    kinds = [_kind(keywords, n) for n in range(1, keywords.whole("PAR") + 1)]
    return " and ".join(name for kind, name in DTYPES.items() if kind in kinds)


def _channel(keywords: Keywords, n: int) -> Channel:
    detector, marker = keywords.text(f"P{n}N"), keywords.text(f"P{n}S")
    kind = _kind(keywords, n)
    width = FLOATS.get(kind) or _width(keywords, n)
    decades, at_zero = keywords.numbers(f"P{n}E", (0, 0))
    # The range of linear floats says nothing about their values, and may be anything.
    most = keywords.number(f"P{n}R") if kind == "I" or decades > 0 else 0
    if decades > 0 and most <= 0:
        raise InputError(
            f"{keywords.path}: channel {detector} is logarithmic and its $P{n}R is {most:g}; export it again"
        )
    # Bits above the range mean nothing; instruments leave noise there.
    mask = (1 << (int(most) - 1).bit_length()) - 1 if kind == "I" and most >= 1 else None
    if mask is not None and mask >= (1 << 8 * width) - 1:
        mask = None
    # Time is not amplified, whatever a file says.
    gain = 1 if detector.lower() == "time" else keywords.number(f"P{n}G", 1)
    return Channel(
        detector,
        marker,
        channel_kind(marker or detector, detector),
        _stored(keywords, n, kind, width),
        mask,
        decades,
        # The standard takes a 0 here for a mistake, which means 1.
        at_zero or 1.0,
        most,
        gain,
    )


def _kind(keywords: Keywords, n: int) -> str:
    """I, F or D: the type of a channel's values, its own ($PnDATATYPE, since FCS 3.2) or that of all."""
    own_type = f"P{n}DATATYPE"
    keyword = own_type if keywords.version == "FCS3.2" and keywords.text(own_type) else "DATATYPE"
    kind = keywords.text(keyword).upper()
    if kind not in DTYPES:
        raise InputError(
            f"{keywords.path}: ${keyword} is '{keywords.text(keyword)}', and I, F and D are read; export it "
            "as FCS 3.1 with floating-point data"
        )
    return kind


def _width(keywords: Keywords, n: int) -> int:
    """Bytes of an integer."""
    width = keywords.text(f"P{n}B")
    if width not in [f"{8 * n_bytes}" for n_bytes in range(1, 9)]:
        raise InputError(
            f"{keywords.path}: holds integers of '{width}' bits ($P{n}B), and 8, 16, 24, … 64 are read; "
            "export it as FCS 3.1 with floating-point data"
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
            f"{keywords.path}: $BYTEORD is '{keywords.text('BYTEORD')}', which does not say in which order "
            f"the {width} bytes of a number ($P{n}B) are; export it with 1,2,3,4 or 4,3,2,1"
        )
    type_ = f"f{width}" if kind != "I" else "u4" if width <= 4 else "u8"
    return Stored(np.dtype((np.uint8, width)), places, np.dtype(f"<{type_}"))
