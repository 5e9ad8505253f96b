"""Writer of FCS 3.1: list mode, float32, little endian, block by block.

A file begins with a header of fixed length and the keywords, and ends with the events. The number and
range of events are available after the last one, so the keywords are written then, into reserved space. The
standard allows gaps between segments.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.atomic import complete

DELIMITER = "\f"
"""Delimiter of keywords and values: instruments use it too, and names do not contain it."""

HEADER_BYTES = 58
LARGEST_OFFSET = 99_999_999
"""Largest offset of the header's eight digits."""

MOST = 10**15
"""Upper bound of numbers in the keywords: offsets in the file and channel ranges."""

NO_CHECKSUM = b"0" * 8


class Channel(NamedTuple):
    """A channel of an FCS file.

    Attributes
    ----------
    name
        Short name ($PnN): unique in the file, without a comma, not empty.
    marker
        Long name ($PnS); left out if empty.
    most
        Range ($PnR) of a channel with a linear scale from 0 ($PnD). None: the range is that of the values,
        and the reading program chooses the scale.
    """

    name: str
    marker: str = ""
    most: int | None = None


class FcsWriter:
    """Write an FCS file block by block; it appears under `path` only when closed without error.

    Parameters
    ----------
    path
        The file to write.
    channels
        Its channels.
    keywords
        Further keywords and their values. Required keywords are always written.

    Raises
    ------
    ValueError
        If the channels' names violate the standard, or the file is closed without events.
    """

    def __init__(self, path: str | Path, channels: Sequence[Channel], keywords: dict[str, str]) -> None:
        names = [channel.name for channel in channels]
        if len(set(names)) < len(names) or any("," in name or not name.strip() for name in names):
            raise ValueError(f"{path}: channels need unique names without commas, not {names}")
        self.n_events = 0
        self._channels = list(channels)
        self._keywords = keywords
        self._highest = np.zeros(len(channels), dtype=np.float32)
        widest = text_segment(
            channels, keywords, n_events=MOST, ranges=[MOST] * len(channels), data=(MOST, MOST)
        )
        self._data_start = HEADER_BYTES + len(widest)
        self._closing = ExitStack()
        temporary = self._closing.enter_context(complete(path))
        self._file = self._closing.enter_context(open(temporary, "wb"))  # noqa: SIM115
        self._file.write(b" " * self._data_start)

    def append(self, values: np.ndarray) -> None:
        """Append events: events × channels, float32."""
        if values.shape[1] != len(self._channels):
            raise ValueError(f"{values.shape[1]} values of each event for {len(self._channels)} channels")
        self._highest = np.fmax(self._highest, np.fmax.reduce(values, axis=0, initial=0))
        self.n_events += len(values)
        self._file.write(np.ascontiguousarray(values, dtype="<f4"))

    def __enter__(self) -> "FcsWriter":
        return self

    def __exit__(self, *raised: Any) -> None:
        # Errors at closing must reach `complete`, or a damaged file would get the final name.
        with self._closing:
            if raised[0] is None:
                self._finish()
            else:
                self._closing.__exit__(*raised)

    def _finish(self) -> None:
        if self.n_events == 0:
            raise ValueError("an FCS file needs events")
        data = (self._data_start, self._file.tell() - 1)
        self._file.write(NO_CHECKSUM)
        text = text_segment(
            self._channels, self._keywords, n_events=self.n_events, ranges=self._ranges(), data=data
        )
        self._file.seek(0)
        self._file.write(header(HEADER_BYTES + len(text) - 1, data) + text)

    def _ranges(self) -> list[int]:
        """$PnR of all channels: a whole number above the highest value."""
        return [
            int(min(highest, MOST - 1)) + 1 if channel.most is None else channel.most
            for channel, highest in zip(self._channels, self._highest.tolist(), strict=True)
        ]


def header(text_end: int, data: tuple[int, int]) -> bytes:
    """The first bytes of a file: bounds of keywords and events.

    Parameters
    ----------
    text_end
        Offset of the last byte of the keywords, which begin after the header.
    data
        Offsets of the first and the last byte of the events. If they do not fit, the header has zeros, as the
        standard requires, and only the keywords have them.
    """
    begin, end = data if data[1] <= LARGEST_OFFSET else (0, 0)
    return f"FCS3.1    {HEADER_BYTES:8}{text_end:8}{begin:8}{end:8}{0:8}{0:8}".encode("ascii")


def text_segment(
    channels: Sequence[Channel],
    keywords: dict[str, str],
    *,
    n_events: int,
    ranges: Sequence[int],
    data: tuple[int, int],
) -> bytes:
    """The keywords, in UTF-8.

    Parameters
    ----------
    channels, keywords
        See `FcsWriter`.
    n_events
        Number of events ($TOT).
    ranges
        Range of each channel ($PnR).
    data
        Places of the first and the last byte of the events.
    """
    pairs = {"$BEGINDATA": data[0], "$ENDDATA": data[1]}
    # No segments of these kinds.
    pairs |= dict.fromkeys(("$BEGINSTEXT", "$ENDSTEXT", "$BEGINANALYSIS", "$ENDANALYSIS", "$NEXTDATA"), 0)
    pairs |= {"$MODE": "L", "$DATATYPE": "F", "$BYTEORD": "1,2,3,4", "$PAR": len(channels), "$TOT": n_events}
    for n, (channel, most) in enumerate(zip(channels, ranges, strict=True), start=1):
        pairs |= {f"$P{n}N": channel.name, f"$P{n}S": channel.marker, f"$P{n}B": 32, f"$P{n}E": "0,0"}
        pairs[f"$P{n}R"] = most
        if channel.most is not None:
            pairs[f"$P{n}D"] = f"Linear,0,{most}"
    words = {keyword: _escaped(str(value)) for keyword, value in (keywords | pairs).items()}
    # The standard allows no empty values: a double delimiter is one within a value.
    text = "".join(f"{keyword}{DELIMITER}{word}{DELIMITER}" for keyword, word in words.items() if word)
    return f"{DELIMITER}{text}".encode()


def _escaped(value: str) -> str:
    # At its ends a delimiter is ambiguous; it is treated as a blank, and stripped.
    return value.strip().replace(DELIMITER, 2 * DELIMITER)
