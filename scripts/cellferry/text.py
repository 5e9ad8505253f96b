"""Compressed files, and text. Needs no library beyond Python's: the Snakefile reads headers too."""

import bz2
import csv
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    from isal import igzip as gzip  # three times as fast
    from isal.igzip_lib import IsalError as GzipError
except ImportError:  # on a login node
    import gzip
    from zlib import error as GzipError  # noqa: N812

OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""How to open a compressed file, by its first bytes."""

UNPACKING_ERRORS = (zlib.error, GzipError, lzma.LZMAError, zipfile.BadZipFile, EOFError)
"""What is raised by compressed files that are broken or end too early, besides OSError."""

SNIFFED = 1 << 16
QUOTED = re.compile(r'"[^"]*"')
DELIMITERS = ("\t", ",", ";")


def first_bytes(path: Path, n: int) -> bytes:
    """The first `n` bytes of a file, unpacked if it is compressed."""
    with open_bytes(path) as file:
        return file.read(n)


def open_bytes(path: Path | zipfile.Path) -> IO[bytes]:
    """Open a file, also one in a zip, for reading bytes; gzip, bzip2 and xz are found out and unpacked."""
    packed = path if isinstance(path, zipfile.Path) else Path(path)
    with packed.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        return packed.open("rb")
    return opener(packed.open("rb") if isinstance(packed, zipfile.Path) else packed, "rb")


def whole_lines(file: IO[bytes], n_bytes: int) -> Iterator[bytes]:
    """The rest of a file in pieces of `n_bytes`, completed to whole lines; all end with an end of line."""
    while text := file.read(n_bytes):
        text += b"" if text.endswith(b"\n") else file.readline()
        yield text if text.endswith(b"\n") else text + b"\n"


def sniff_delimiter(line: str) -> str:
    """The delimiter that stands most often in a line, outside quotes; a comma if none does."""
    # The beginning will do; a quote that is cut off there does no harm.
    unquoted = QUOTED.sub("", line[:SNIFFED])
    best = max(DELIMITERS, key=unquoted.count)
    return best if best in unquoted else ","


def split_line(line: str, delimiter: str) -> list[str]:
    """Fields of one line, quotes removed."""
    return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, no more of them than matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
