"""Keywords of an FCS file: its header and its TEXT segments, in the versions 2.0, 3.0, 3.1 and 3.2.

The first character of the segment is the delimiter. Within a value it stands twice, which makes it hard to
tell from an empty value: the standard forbids these, and instruments write them. What decides is where the
two stand. No keyword holds a delimiter, or is empty: two of them after a keyword are an empty value, and two
within a value belong to it. Files that keep to the standard are read as it says, and in no file does a value
take the next keyword in.
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
"""FCS 2.0 leaves the number of events to the place where they are, and channels are linear without $PnE."""

WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
A_KEYWORD = re.compile(r"\$(P[0-9]+[A-Z]+|SPILLOVER|COMP)", re.I)


class Keywords(NamedTuple):
    """What an FCS file says about itself.

    Attributes
    ----------
    path
        The file, for messages.
    version
        One of `VERSIONS`.
    file_size
        Its length in bytes.
    data
        First and last byte of the events by the header; 0 where it has none.
    values
        By keyword: upper case, without the `$` of the standard's own.
    remarks
        What was chosen on the way: sentences for the log.
    """

    path: Path
    version: str
    file_size: int
    data: tuple[int, int]
    values: dict[str, str]
    remarks: list[str]

    def text(self, keyword: str, default: str = "") -> str:
        """A keyword's value; `default` where there is none or an empty one."""
        return self.values.get(keyword) or default

    def whole(self, keyword: str, default: int = 0) -> int:
        """A whole number.

        Raises
        ------
        InputError
            If the value is none.
        """
        value = self.text(keyword)
        if value and not WHOLE.fullmatch(value):
            raise self.refused(keyword, "no whole number")
        return int(value or default)

    def number(self, keyword: str, default: float = 0) -> float:
        """A finite number, an int where it is written as one.

        Raises
        ------
        InputError
            If the value is none.
        """
        value = self.text(keyword)
        if WHOLE.fullmatch(value):
            return int(value)
        return self._finite(keyword, value) if value else default

    def numbers(self, keyword: str, default: tuple[float, ...]) -> list[float]:
        """Finite numbers with commas between them, as many as `default` has.

        Raises
        ------
        InputError
            If the value is something else.
        """
        if not self.text(keyword):
            return list(default)
        parts = self.text(keyword).split(",")
        if len(parts) != len(default):
            raise self.refused(keyword, f"not {len(default)} numbers with commas between them")
        return [self._finite(keyword, part) for part in parts]

    def refused(self, keyword: str, why: str) -> InputError:
        """The error for a value that cannot be."""
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
            raise self.refused(keyword, "no number")
        return number


def read_keywords(path: Path) -> Keywords:
    """The keywords of a file's first dataset.

    Supplemental ones are among them; where both segments have a keyword, the first one's value counts.

    Raises
    ------
    InputError
        If it is no FCS file, of another version, incomplete, or lacks a keyword that the standard requires.
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
        # What the first segment says stands.
        more = by_name(pairs_of(segment, is_doubled=is_doubled))
        values.update({name: value for name, value in more.items() if not keywords.text(name)})
    _check(keywords)
    return keywords


def doubles_delimiter(segment: str, version: str) -> bool:
    """Whether a delimiter that is part of a keyword or value stands twice in a segment.

    It does, but with `$` for a delimiter: all of the standard's keywords begin with it, and writers that did
    not think of it leave them as they are.
    """
    if segment[0] != "$":
        return True
    n = len(segment) - len(segment.lstrip("$"))
    # One alone is followed by a keyword that is none of the standard's.
    return n > 2 if n > 1 else not any(missing(by_name(pairs_of(segment, is_doubled=True)), version))


def pairs_of(segment: str, *, is_doubled: bool) -> list[tuple[str, str]]:
    """Keywords and values of a TEXT segment, delimiters not doubled any more; see the module's docstring."""
    pairs = list(_pairs(segment, is_doubled=is_doubled))
    if segment[0] == "$" and is_doubled:
        # The first of a keyword was taken for the last of the value before it.
        return [(keyword, value.removesuffix("$")) for keyword, value in pairs]
    return pairs


def _pairs(segment: str, *, is_doubled: bool) -> Iterator[tuple[str, str]]:
    delimiter = segment[0]
    keyword, value, n = "", "", 0
    for token, delimiters in re.findall("([^{0}]+)({0}*)".format(re.escape(delimiter)), segment):
        n = len(delimiters)
        if not keyword:
            # Blanks and what else lies behind the last delimiter are no keyword.
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
        # At the very end, the last of two delimiters ends the segment.
        yield keyword, value.removesuffix(delimiter) if n else value


def by_name(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Values by keyword, see `Keywords.values`: of several the last one that is not empty.

    Those with the `$` of the standard's own stand before those without it.
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
    """Keywords without a value that the standard requires of data that is read here.

    What else it requires does not change how events are read, or stands in the header too: without $MODE
    they are a list, without $NEXTDATA there is one dataset.
    """
    optional = NOT_REQUIRED_OF_2 if version == "FCS2.0" else ()
    par = values.get("PAR", "")
    channels = range(1, int(par) + 1 if WHOLE.fullmatch(par) else 1)
    names = (f"P{n}{letter}" for n in channels for letter in REQUIRED_OF_CHANNELS if letter not in optional)
    required = chain((name for name in REQUIRED if name not in optional), names)
    return (name for name in required if not values.get(name))


def _supplemental(keywords: Keywords, file: BinaryIO, delimiter: str) -> str:
    """The second TEXT segment; empty if there is none."""
    places = [keywords.text(keyword) for keyword in ("BEGINSTEXT", "ENDSTEXT")]
    begin, end = (int(place) if WHOLE.fullmatch(place) else 0 for place in places)
    if not 0 < begin < end:
        return ""
    segment = _segment(file, begin, end, keywords.file_size)
    # The first delimiter may be missing in this one.
    segment = f"{delimiter}{segment}" if segment.startswith("$") and delimiter != "$" else segment
    if segment.startswith(delimiter):
        return segment
    keywords.remarks.append("there are no supplemental keywords where they should be ($BEGINSTEXT)")
    return ""


def _check(keywords: Keywords) -> None:
    lacking = list(islice(missing(keywords.values, keywords.version), 5))
    if lacking:
        listed = ", ".join(f"${name}" for name in lacking)
        lacks = "has no value for" if lacking[0] in keywords.values else "lacks"
        raise InputError(
            f"{keywords.path}: {lacks} the keyword {listed}, which FCS files must have; export it again"
        )
    # A delimiter within a value that is not doubled exchanges keywords and values from there on.
    swapped = next((name for name, value in keywords.values.items() if A_KEYWORD.fullmatch(value)), None)
    if swapped is not None:
        raise InputError(
            f"{keywords.path}: its keyword {swapped[:50]} has the value {keywords.text(swapped)}, which is a "
            "keyword; a value before it holds the delimiter and does not double it: export it without it"
        )
    n_channels = keywords.whole("PAR")
    named = sum(re.fullmatch("P[0-9]+N", name) is not None for name in keywords.values)
    if named != n_channels or n_channels < 1:
        raise InputError(
            f"{keywords.path}: $PAR promises {n_channels} channels, and {named} are named ($PnN); the file "
            "is damaged: export it again"
        )


def _version(path: Path, start: bytes) -> str:
    version = start.decode("latin-1")
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
    return version


def _header(path: Path, start: str) -> tuple[int, ...]:
    """First and last byte of keywords and of events, 0 where nothing is said."""
    if len(start) < HEADER_BYTES:
        raise _unreadable(path, f"its header ends after {len(start)} bytes")
    fields = [_bare(start[at : at + 8]) for at in range(10, 42, 8)]
    strange = next((field for field in fields if not WHOLE.fullmatch(field or "0")), None)
    if strange is not None:
        raise _unreadable(path, f"its header has '{strange}' for a place")
    return tuple(max(0, int(field or 0)) for field in fields)


def _segment(file: BinaryIO, begin: int, end: int, file_size: int) -> str:
    """Text between two places; empty if they are none."""
    if not 0 < begin <= end < file_size:
        return ""
    file.seek(begin)
    stored = file.read(end - begin + 1)
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored.decode("latin-1")


def _bare(text: str) -> str:
    """Without blanks around it, as which zero bytes count."""
    return text.replace("\0", " ").strip()


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: its keywords cannot be read, or do not fit the file ({why}): it is incomplete or damaged; "
        "copy or export it again"
    )
