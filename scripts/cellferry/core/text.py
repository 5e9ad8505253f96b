"""Compressed files, and text. Needs no library beyond Python's: the Snakefile reads headers too."""

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
"""How to open a compressed file, by its first bytes."""

PACKERS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
"""Programs that unpack them, by ending."""

UNPACKING_ERRORS = (zlib.error, GzipError, lzma.LZMAError, zipfile.BadZipFile, EOFError)
"""What is raised by compressed files that are broken or end too early, besides OSError."""

SNIFFED = 1 << 16
QUOTED = re.compile(r'"[^"]*"')
DELIMITERS = ("\t", ",", ";")
BLANKS = re.compile(r'("[^"]*")| +')

BUFFER_BYTES = 1 << 18
SHOWN_BYTES = 20


CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
"""Control characters, other ends of lines, and what is no character."""

UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
"""What not even a text of several lines in HDF5 can hold."""


class Control(NamedTuple):
    """A name with a control character in it, and which one it is, counted from 1."""

    name: str
    number: int
    character: str

    def __str__(self) -> str:
        r"""As a message takes it: `'a\x00b', which holds a control character (U+0000)`."""
        return f"'{printable(self.name[:80])}', which holds a control character (U+{ord(self.character):04X})"


def first_control(names: Iterable[str], among: re.Pattern[str] = CONTROLS) -> Control | None:
    """The first name with a control character in it; None if there is none."""
    names = list(names)
    joined = "".join(names)
    if joined.isprintable() or not among.search(joined):
        return None
    for number, name in enumerate(names, start=1):
        if found := among.search(name):
            return Control(name, number, found[0])
    return None


def printable(text: str) -> str:
    r"""The same on one line of a terminal or a comment: what is not printable as `\n`, `\x85` or `\u2028`."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode()
        for one in text
    )


MAX_LINE_BYTES = 1 << 27
"""Longer lines are none: the header of a table with five million cells fits."""


def special_kind(path: Path) -> str | None:
    """What a path leads to that is neither a file nor a folder, such as `a named pipe`; None if it is one.

    A pipe or a device may have no end, and may never begin: these are never opened.

    Raises
    ------
    OSError
        If there is nothing, or it may not be looked at.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def refuse_special(path: Path) -> None:
    """Raise an `InputError` if a path is neither a file nor a folder; see `special_kind`."""
    kind = special_kind(path)
    if kind is not None:
        raise InputError(f"{path}: is {kind}, neither a file nor a folder; name a file with the data")


def first_bytes(path: Path, n: int) -> bytes:
    """The first `n` bytes of a file, unpacked if it is compressed."""
    with open_bytes(path) as file:
        return file.read(n)


def open_bytes(path: Path | zipfile.Path) -> IO[bytes]:
    """Open a file, also one in a zip, for reading bytes; gzip, bzip2 and xz are found out and unpacked."""
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
    """Encoding of a text by its first bytes: UTF-8 unless a mark or zeros between letters say otherwise."""
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
    """Whether the first bytes of a file can be a text's."""
    return b"\0" not in start or not encoding_of(start).startswith("utf-8")


def open_text(path: Path | zipfile.Path) -> IO[bytes]:
    """Open a text, packed or not, for reading as UTF-8 without a byte-order mark.

    UTF-16, which Excel calls "Unicode text", is converted, and so are lines that end with a carriage return
    alone, as Excel writes them on a Mac.

    Raises
    ------
    InputError
        While it is read, if it turns out not to be UTF-8, as text in Latin-1 does at its first accent.
    """
    return io.BufferedReader(_Utf8(path, open_bytes(path)), BUFFER_BYTES)


class _Utf8(io.RawIOBase):
    """The bytes of a text as UTF-8, whatever they are in the file."""

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
        """Have bytes ready, unless they belong to a line that does not end."""
        self._held = memoryview(text)
        last = text.rfind(b"\n")
        self._since_end = self._since_end + len(text) if last < 0 else len(text) - last - 1
        if self._since_end > MAX_LINE_BYTES:
            raise endless_line(self._path)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _is_plain(self, packed: bytes) -> bool:
        """Whether bytes can be handed on as they are: nearly all can, which saves half of the time."""
        is_within = bool(self._decoder.getstate()[0])  # a letter that began in the bytes before
        is_utf8 = self._encoding.startswith("utf-8")
        return is_utf8 and bool(packed) and not (self._only_returns or is_within) and packed.isascii()

    def _decoded(self, packed: bytes) -> str:
        try:
            text = self._decoder.decode(packed, final=not packed)
        except UnicodeDecodeError as error:
            # The end of a file that was cut off is said by whoever opened it.
            if not self._encoding.startswith("utf-8") or error.reason.startswith("unexpected end"):
                raise
            raise _not_utf8(self._path, error, self._n_bytes) from error
        self._n_bytes += len(packed)
        return text

    def _with_line_ends(self, text: str) -> bytes:
        return (text.replace("\r", "\n") if self._only_returns else text).encode()


def _not_utf8(path: Path | zipfile.Path, error: UnicodeDecodeError, n_bytes: int) -> InputError:
    """The place, which is `n_bytes` and then some of the error's bytes on, and how to convert the file."""
    before, after = error.object[: error.start], error.object[error.start :]
    with open_bytes(path) as file:
        line = 1 + _line_ends(file, n_bytes + error.start)
    fields = re.compile(rb'[\r\n\t,;"]')
    around = fields.split(before)[-1][-SHOWN_BYTES:] + fields.split(after)[0][:SHOWN_BYTES]
    # Windows puts letters where Latin-1 has none.
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
    """Ends of lines in the next bytes of a file."""
    newlines = returns = 0
    while n_bytes > 0 and (text := file.read(min(n_bytes, BUFFER_BYTES))):
        newlines, returns = newlines + text.count(b"\n"), returns + text.count(b"\r")
        n_bytes -= len(text)
    return newlines or returns


def endless_line(path: Path | zipfile.Path | None) -> InputError:
    """What is said of a line that does not end."""
    return InputError(
        f"{path or 'a text'}: holds a line of more than {MAX_LINE_BYTES >> 20} MB, so it is no table "
        "of text, or damaged; copy or export it again"
    )


def read_line(file: IO[bytes], path: Path | zipfile.Path | None) -> bytes:
    """The next line of a file, which must end; `path` names it in messages."""
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise endless_line(path)
    return line


def whole_lines(file: IO[bytes], n_bytes: int, path: Path | zipfile.Path | None = None) -> Iterator[bytes]:
    """The rest of a file in pieces of `n_bytes`, completed to whole lines; all end with an end of line.

    `path` names it in messages.
    """
    while text := file.read(n_bytes):
        text += b"" if text.endswith(b"\n") else read_line(file, path)
        yield text if text.endswith(b"\n") else text + b"\n"


def squeeze(line: str) -> str:
    """A line whose fields are separated by blanks, with one of these at a time, and none at the ends."""
    return BLANKS.sub(lambda match: match[1] or " ", line).strip()


def sniff_delimiter(line: str) -> str:
    """The delimiter that stands most often in a line, outside quotes; a comma if none does."""
    # The beginning will do; a quote that is cut off there does no harm.
    unquoted = without_quoted(line[:SNIFFED])
    best = max(DELIMITERS, key=unquoted.count)
    return best if best in unquoted else ","


def without_quoted(line: str) -> str:
    """A line without what stands in quotes."""
    return QUOTED.sub("", line) if '"' in line else line


def split_line(line: str, delimiter: str) -> list[str]:
    """Fields of one line, quotes removed; several blanks are one delimiter."""
    line = line.rstrip("\r\n")
    return next(csv.reader([squeeze(line) if delimiter == " " else line], delimiter=delimiter), [])


def in_one_line(error: Exception) -> str:
    """What an exception says, which may be several lines."""
    return " ".join(str(error).split())


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, no more of them than matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0, -1)) -> list[str]:
    """Lines of a table of text: columns at the positions `left` to the left, numbers to the right."""
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
    """Names for a message: the first ones, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
