"""Keywords of an FCS file: its header and its TEXT segments, in the versions 2.0, 3.0, 3.1 and 3.2.

The first character of the segment is the delimiter. Within a value it is written twice. An empty value looks
the same: the standard forbids empty values, but instruments write them. The position distinguishes the two. A
keyword is never empty and contains no delimiter, so two delimiters after a keyword are an empty value, and
two within a value are a part of it. This reads files by the standard correctly, and never reads the next
keyword as part of a value.
"""

import math
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import InputError

VERSIONS = ("FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2")
HEADER_BYTES = 58

REQUIRED = ("BYTEORD", "DATATYPE", "PAR", "TOT")
REQUIRED_OF_CHANNELS = ("N", "B", "E", "R")
NOT_REQUIRED_OF_2 = ("TOT", "E")
"""FCS 2.0 may give the number of events by their position, and channels without $PnE are linear."""

WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
A_KEYWORD = re.compile(r"\$(P[0-9]+[A-Z]+|SPILLOVER|COMP)", re.I)


class Keywords(NamedTuple):
    """Content of an FCS file's header and TEXT segments.

    Attributes
    ----------
    path
        The file, for messages.
    version
        One of `VERSIONS`.
    file_size
        Length in bytes.
    data
        First and last byte of the events according to the header; 0 if missing.
    values
        Values by keyword: in upper case, without the `$` of standard keywords.
    remarks
        Choices that the reader made, as sentences for the log.
    """

    path: Path
    version: str
    file_size: int
    data: tuple[int, int]
    values: dict[str, str]
    remarks: list[str]

    def text(self, keyword: str, default: str = "") -> str:
        """A keyword's value; `default` if it is missing or empty."""
        return self.values.get(keyword) or default

    def whole(self, keyword: str, default: int = 0) -> int:
        """A keyword's value as a whole number.

        Raises
        ------
        InputError
            If the value is not a whole number.
        """
        value = self.text(keyword)
        if value and not WHOLE.fullmatch(value):
            raise self.refused(keyword, "not a whole number")
        return int(value or default)

    def number(self, keyword: str, default: float = 0) -> float:
        """A keyword's value as a finite number; an int if it is written as one.

        Raises
        ------
        InputError
            If the value is not a finite number.
        """
        value = self.text(keyword)
        if WHOLE.fullmatch(value):
            return int(value)
        return self._finite(keyword, value) if value else default

    def numbers(self, keyword: str, default: tuple[float, ...]) -> list[float]:
        """A keyword's value as finite numbers separated by commas, as many as in `default`.

        Raises
        ------
        InputError
            If the value is anything else.
        """
        if not self.text(keyword):
            return list(default)
        parts = self.text(keyword).split(",")
        if len(parts) != len(default):
            raise self.refused(keyword, f"not {len(default)} numbers separated by commas")
        return [self._finite(keyword, part) for part in parts]

    def refused(self, keyword: str, why: str) -> InputError:
        """Error for an invalid value."""
        return InputError(
            f"{self.path}: its keyword ${keyword} is '{self.text(keyword)[:60]}', which is {why}; export it "
            "again"
        )

    def _finite(self, keyword: str, value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or "_" in value:
            raise self.refused(keyword, "not a number")
        return number


def read_keywords(path: Path) -> Keywords:
    """The keywords of a file's first dataset.

    Supplemental keywords are included; if both segments have a keyword, the value of the first is used.

    Raises
    ------
    InputError
        If it is not an FCS file, has another version, is incomplete, or lacks a required keyword.
    """
    with open(path, "rb") as file:
        version = _version(path, file.read(6))
        places = _header(path, version + file.read(HEADER_BYTES - 6).decode("latin-1"))
        file_size = file.seek(0, 2)
        primary = _segment(file, *places[:2], file_size)
        if not primary:
            raise _unreadable(path, f"bytes {places[0]} to {places[1]} of {file_size}")
        is_doubled = doubles_delimiter(primary, version)
        values = by_name(pairs_of(primary, is_doubled=is_doubled))
        keywords = Keywords(path, version, file_size, places[2:4], values, [])
        segment = _supplemental(keywords, file, primary[0])
    if segment:
        # Values of the first segment have precedence.
        more = by_name(pairs_of(segment, is_doubled=is_doubled))
        values.update({name: value for name, value in more.items() if not keywords.text(name)})
    _check(keywords)
    return keywords


def doubles_delimiter(segment: str, version: str) -> bool:
    """True if a delimiter within a keyword or value is written twice in a segment.

    This holds except for `$` as delimiter: all standard keywords begin with it, and some writers did not
    double it there.
    """
    if segment[0] != "$":
        return True
    n = len(segment) - len(segment.lstrip("$"))
    # A single `$` is followed by a keyword without `$`, which is not a standard one.
    return n > 2 if n > 1 else not any(missing(by_name(pairs_of(segment, is_doubled=True)), version))


def pairs_of(segment: str, *, is_doubled: bool) -> list[tuple[str, str]]:
    """Keywords and values of a TEXT segment, with single delimiters; see the module's docstring."""
    pairs = list(_pairs(segment, is_doubled=is_doubled))
    if segment[0] == "$" and is_doubled:
        # The `$` of a keyword was read as the end of the value before it.
        return [(keyword, value.removesuffix("$")) for keyword, value in pairs]
    return pairs


def _pairs(segment: str, *, is_doubled: bool) -> Iterator[tuple[str, str]]:
    delimiter = segment[0]
    keyword, value, n = "", "", 0
    for token, delimiters in re.findall("([^{0}]+)({0}*)".format(re.escape(delimiter)), segment):
        n = len(delimiters)
        if not keyword:
            # Blanks and other text after the last delimiter are not a keyword.
            keyword = token if n else ""
            value = delimiter * ((n - 1) // 2) if is_doubled else ""
            is_complete = n > 1 and (n % 2 == 0 or not is_doubled)
        else:
            value += token + (delimiter * (n // 2) if is_doubled else "")
            is_complete = n % 2 == 1 or (n > 0 and not is_doubled)
        if is_complete:
            yield keyword, value
            keyword = ""
    if keyword:
        # At the very end, the second of two delimiters ends the segment.
        yield keyword, value.removesuffix(delimiter) if n else value


def by_name(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Values by keyword (see `Keywords.values`); of several, the last one that is not empty.

    Keywords with the `$` of the standard have precedence over those without.
    """
    values: dict[str, str] = {}
    for is_standard in (False, True):
        for keyword, value in pairs:
            keyword, value = _bare(keyword), _bare(value)
            name = keyword.removeprefix("$").upper()
            if name and keyword.startswith("$") is is_standard and (value or name not in values):
                values[name] = value
    return values


def missing(values: dict[str, str], version: str) -> Iterator[str]:
    """Missing keywords that the standard requires and that are needed here.

    Other required keywords do not change how events are read, or are in the header too: without $MODE the
    events are a list, without $NEXTDATA there is one dataset.
    """
    optional = NOT_REQUIRED_OF_2 if version == "FCS2.0" else ()
    par = values.get("PAR", "")
    channels = range(1, int(par) + 1 if WHOLE.fullmatch(par) else 1)
    names = (f"P{n}{letter}" for n in channels for letter in REQUIRED_OF_CHANNELS if letter not in optional)
    required = chain((name for name in REQUIRED if name not in optional), names)
    return (name for name in required if not values.get(name))


def _supplemental(keywords: Keywords, file: BinaryIO, delimiter: str) -> str:
    """The second TEXT segment, or an empty text."""
    places = [keywords.text(keyword) for keyword in ("BEGINSTEXT", "ENDSTEXT")]
    begin, end = (int(place) if WHOLE.fullmatch(place) else 0 for place in places)
    if not 0 < begin < end:
        return ""
    segment = _segment(file, begin, end, keywords.file_size)
    # The first delimiter may be missing in this segment.
    segment = f"{delimiter}{segment}" if segment.startswith("$") and delimiter != "$" else segment
    if segment.startswith(delimiter):
        return segment
    keywords.remarks.append("there are no supplemental keywords at their position ($BEGINSTEXT)")
    return ""


def _check(keywords: Keywords) -> None:
    lacking = list(islice(missing(keywords.values, keywords.version), 5))
    if lacking:
        listed = ", ".join(f"${name}" for name in lacking)
        lacks = "has no value for" if lacking[0] in keywords.values else "lacks"
        raise InputError(
            f"{keywords.path}: {lacks} the keyword {listed}, which FCS requires; export it again"
        )
    # A single delimiter within a value exchanges keywords and values from there on.
    swapped = next((name for name, value in keywords.values.items() if A_KEYWORD.fullmatch(value)), None)
    if swapped is not None:
        raise InputError(
            f"{keywords.path}: its keyword {swapped[:50]} has the value {keywords.text(swapped)}, which is a "
            "keyword; a value before it contains the delimiter only once: export it without this character"
        )
    n_channels = keywords.whole("PAR")
    named = sum(re.fullmatch("P[0-9]+N", name) is not None for name in keywords.values)
    if named != n_channels or n_channels < 1:
        raise InputError(
            f"{keywords.path}: $PAR is {n_channels} channels, but {named} are named ($PnN); the file is "
            "damaged: export it again"
        )


def _version(path: Path, start: bytes) -> str:
    version = start.decode("latin-1")
    if not version.startswith("FCS"):
        raise InputError(
            f"{path}: does not begin like an FCS file; if it is compressed, unpack it, so that it can be "
            "read in parts"
        )
    if version not in VERSIONS:
        raise InputError(
            f"{path}: is of version '{version}', but only {', '.join(VERSIONS)} are read; export it as one "
            "of these"
        )
    return version


def _header(path: Path, start: str) -> tuple[int, ...]:
    """First and last byte of keywords and of events; 0 if missing."""
    if len(start) < HEADER_BYTES:
        raise _unreadable(path, f"its header ends after {len(start)} bytes")
    fields = [_bare(start[at : at + 8]) for at in range(10, 42, 8)]
    strange = next((field for field in fields if not WHOLE.fullmatch(field or "0")), None)
    if strange is not None:
        raise _unreadable(path, f"its header has '{strange}' as a position")
    return tuple(max(0, int(field or 0)) for field in fields)


def _segment(file: BinaryIO, begin: int, end: int, file_size: int) -> str:
    """Text between two positions; empty if they are invalid."""
    if not 0 < begin <= end < file_size:
        return ""
    file.seek(begin)
    stored = file.read(end - begin + 1)
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored.decode("latin-1")


def _bare(text: str) -> str:
    """Text without surrounding blanks; zero bytes count as blanks."""
    return text.replace("\0", " ").strip()


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: its keywords cannot be read or do not fit the file ({why}): it is incomplete or damaged; "
        "copy or export it again"
    )
