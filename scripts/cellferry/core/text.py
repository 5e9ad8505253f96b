"""Compressed files and text. Needs only the standard library: the Snakefile reads headers too."""

import bz2
import codecs
import csv
import io
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import InputError

try:
    from isal import igzip as gzip  # three times as fast
    from isal.igzip_lib import IsalError as GzipError
except ImportError:  # on a login node
    import gzip
    from zlib import error as GzipError  # noqa: N812

OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""Functions that open a compressed file, by its first bytes."""

PACKERS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
"""Programs that unpack compressed files, by suffix."""

UNPACKING_ERRORS = (zlib.error, GzipError, lzma.LZMAError, zipfile.BadZipFile, EOFError)
"""Errors of broken or truncated compressed files, besides OSError."""

SNIFFED = 1 << 16
QUOTED = re.compile(r'"[^"]*"')
DELIMITERS = ("\t", ",", ";")
BLANKS = re.compile(r'("[^"]*")| +')

BUFFER_BYTES = 1 << 18
SHOWN_BYTES = 20


CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
"""Control characters, other line ends, and code points that are not characters."""

UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
"""Code points that no text in HDF5 can contain, not even a text of several lines."""


class Control(NamedTuple):
    """A name with a control character, and its position, counted from 1."""

    name: str
    number: int
    character: str

    def __str__(self) -> str:
        r"""Text for messages: `'a\x00b', which holds a control character (U+0000)`."""
        return f"'{printable(self.name[:80])}', which holds a control character (U+{ord(self.character):04X})"


def first_control(names: Iterable[str], among: re.Pattern[str] = CONTROLS) -> Control | None:
    """The first name that contains a control character, or None."""
    names = list(names)
    joined = "".join(names)
    if joined.isprintable() or not among.search(joined):
        return None
    for number, name in enumerate(names, start=1):
        if found := among.search(name):
            return Control(name, number, found[0])
    return None


def printable(text: str) -> str:
    r"""Text on one line: unprintable characters are escaped as `\n`, `\x85` or `\u2028`."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode()
        for one in text
    )


MAX_LINE_BYTES = 1 << 27
"""Longest valid line: the header of a table with five million cells fits."""


def special_kind(path: Path) -> str | None:
    """Type of a path that is neither a file nor a folder, such as `a named pipe`; None for these.

    A pipe or a device may never begin or never end, so it is never opened.

    Raises
    ------
    OSError
        If the path does not exist or cannot be inspected.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def refuse_special(path: Path) -> None:
    """Raise an `InputError` if a path is neither a file nor a folder (`special_kind`)."""
    kind = special_kind(path)
    if kind is not None:
        raise InputError(f"{path}: is {kind}, neither a file nor a folder; name a file with the data")


def first_bytes(path: Path, n: int) -> bytes:
    """The first `n` bytes of a file, uncompressed."""
    with open_bytes(path) as file:
        return file.read(n)


def open_bytes(path: Path | zipfile.Path) -> IO[bytes]:
    """Open a file, also within a zip, for reading bytes; gzip, bzip2 and xz are unpacked."""
    packed = path if isinstance(path, zipfile.Path) else Path(path)
    if isinstance(packed, Path):
        refuse_special(packed)
    with packed.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        return packed.open("rb")
    return opener(packed.open("rb") if isinstance(packed, zipfile.Path) else packed, "rb")


def encoding_of(start: bytes) -> str:
    """Encoding of a text: UTF-8, unless a byte-order mark or zeros between letters indicate another."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = start[:512]
    # R's fileEncoding writes UTF-16 without a mark.
    zeros = [start[offset::2].count(0) * 4 > len(start) for offset in (0, 1)]
    if zeros == [False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] else "utf-8-sig"


def is_text(start: bytes) -> bool:
    """True if the first bytes of a file can belong to a text."""
    return b"\0" not in start or not encoding_of(start).startswith("utf-8")


def open_text(path: Path | zipfile.Path) -> IO[bytes]:
    """Open a text, compressed or not, for reading as UTF-8 without a byte-order mark.

    Converts UTF-16 (Excel's "Unicode text"), and lines that end with a carriage return alone (Excel on old
    Macs).

    Raises
    ------
    InputError
        During reading, at the first byte that is not UTF-8, such as an accented letter in Latin-1.
    """
    return io.BufferedReader(_Utf8(path, open_bytes(path)), BUFFER_BYTES)


class _Utf8(io.RawIOBase):
    """The bytes of a text as UTF-8, from any supported encoding."""

    def __init__(self, path: Path | zipfile.Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        start = file.read(SNIFFED)
        self._encoding = encoding_of(start)
        self._decoder = codecs.getincrementaldecoder(self._encoding)()
        self._n_bytes = 0
        self._ended = not start
        self._since_end = 0
        text = self._decoded(start)
        self._only_returns = "\r" in text and "\n" not in text
        self._hold(self._with_line_ends(text))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self._held and not self._ended:
            packed = self._file.read(max(len(buffer), BUFFER_BYTES))
            self._ended = not packed
            if self._is_plain(packed):
                self._n_bytes += len(packed)
                self._hold(packed)
            else:
                self._hold(self._with_line_ends(self._decoded(packed)))
        n = min(len(buffer), len(self._held))
        buffer[:n], self._held = self._held[:n], self._held[n:]
        return n

    def _hold(self, text: bytes) -> None:
        """Provide bytes, unless they belong to an endless line."""
        self._held = memoryview(text)
        last = text.rfind(b"\n")
        self._since_end = self._since_end + len(text) if last < 0 else len(text) - last - 1
        if self._since_end > MAX_LINE_BYTES:
            raise endless_line(self._path)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _is_plain(self, packed: bytes) -> bool:
        """True if bytes need no conversion: this holds for nearly all and halves the time."""
        is_within = bool(self._decoder.getstate()[0])  # a character that began in the previous bytes
        is_utf8 = self._encoding.startswith("utf-8")
        return is_utf8 and bool(packed) and not (self._only_returns or is_within) and packed.isascii()

    def _decoded(self, packed: bytes) -> str:
        try:
            text = self._decoder.decode(packed, final=not packed)
        except UnicodeDecodeError as error:
            # Truncated files are reported by the caller that opened them.
            if not self._encoding.startswith("utf-8") or error.reason.startswith("unexpected end"):
                raise
            raise _not_utf8(self._path, error, self._n_bytes) from error
        self._n_bytes += len(packed)
        return text

    def _with_line_ends(self, text: str) -> bytes:
        return (text.replace("\r", "\n") if self._only_returns else text).encode()


def _not_utf8(path: Path | zipfile.Path, error: UnicodeDecodeError, n_bytes: int) -> InputError:
    """Error with the place, `n_bytes` plus the error's offset, and a command that converts the file."""
    before, after = error.object[: error.start], error.object[error.start :]
    with open_bytes(path) as file:
        line = 1 + _line_ends(file, n_bytes + error.start)
    fields = re.compile(rb'[\r\n\t,;"]')
    around = fields.split(before)[-1][-SHOWN_BYTES:] + fields.split(after)[0][:SHOWN_BYTES]
    # Windows-1252 has letters at codes that Latin-1 leaves unused.
    encoding, called = ("latin1", "Latin-1")
    if re.search(rb"[\x80-\x9f]", around):
        encoding, called = ("cp1252", "Windows-1252")
    packer = PACKERS.get(path.suffix.lower())
    convert = f"iconv -f {encoding} -t utf-8"
    command = f"{packer} -dc {path} | {convert}" if packer else f"{convert} {path}"
    return InputError(
        f"{path}, line {line}: '{around.decode(encoding, 'replace')}' is not UTF-8 but, as it seems, "
        f"{called}; convert the file, `{command} > NEW`, and name the new one"
    )


def _line_ends(file: IO[bytes], n_bytes: int) -> int:
    """Number of line ends in the next bytes of a file."""
    newlines = returns = 0
    while n_bytes > 0 and (text := file.read(min(n_bytes, BUFFER_BYTES))):
        newlines, returns = newlines + text.count(b"\n"), returns + text.count(b"\r")
        n_bytes -= len(text)
    return newlines or returns


def endless_line(path: Path | zipfile.Path | None) -> InputError:
    """Error for a line that does not end."""
    return InputError(
        f"{path or 'a text'}: contains a line of more than {MAX_LINE_BYTES >> 20} MB, so it is damaged or "
        "not a table of text; copy or export it again"
    )


def read_line(file: IO[bytes], path: Path | zipfile.Path | None) -> bytes:
    """The next line of a file, of limited length; `path` names the file in messages."""
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise endless_line(path)
    return line


def whole_lines(file: IO[bytes], n_bytes: int, path: Path | zipfile.Path | None = None) -> Iterator[bytes]:
    """The rest of a file in pieces of about `n_bytes`, each of whole lines; the last line gets a line end.

    `path` names the file in messages.
    """
    while text := file.read(n_bytes):
        text += b"" if text.endswith(b"\n") else read_line(file, path)
        yield text if text.endswith(b"\n") else text + b"\n"


def squeeze(line: str) -> str:
    """A line separated by blanks, with single blanks and none at its ends."""
    return BLANKS.sub(lambda match: match[1] or " ", line).strip()


def sniff_delimiter(line: str) -> str:
    """The most frequent delimiter in a line, outside quotes; a comma without any."""
    # The beginning is enough; a quote cut off at its end does no harm.
    unquoted = without_quoted(line[:SNIFFED])
    best = max(DELIMITERS, key=unquoted.count)
    return best if best in unquoted else ","


def without_quoted(line: str) -> str:
    """A line without its quoted parts."""
    return QUOTED.sub("", line) if '"' in line else line


def split_line(line: str, delimiter: str) -> list[str]:
    """Fields of one line, without quotes; several blanks are one delimiter."""
    line = line.rstrip("\r\n")
    return next(csv.reader([squeeze(line) if delimiter == " " else line], delimiter=delimiter), [])


def in_one_line(error: Exception) -> str:
    """Message of an exception on one line."""
    return " ".join(str(error).split())


def duration(seconds: float) -> str:
    """Seconds as a text in hours and minutes, minutes, or seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0, -1)) -> list[str]:
    """Lines of a text table: columns at the positions `left` left-aligned, all others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    to_left = {position % len(widths) for position in left}
    return [
        "  ".join(
            cell.ljust(width) if position in to_left else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]


def first_few(names: Iterable[str], most: int) -> str:
    """The first names for a message, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def each_once(names: Sequence[str], *, ignore_case: bool = False) -> list[str]:
    """Names, those that repeat an earlier one with a number: `CD3`, `CD3_2`."""
    once: set[str] = set()
    changed = []
    for name in names:
        unique, number = name, 1
        while (unique.casefold() if ignore_case else unique) in once:
            number += 1
            unique = f"{name}_{number}"
        once.add(unique.casefold() if ignore_case else unique)
        changed.append(unique)
    return changed
