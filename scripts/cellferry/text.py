"""Text files: plain or gzipped, with commas or tabs. Imports no library: the Snakefile reads headers too."""

import csv
import gzip
import re
from pathlib import Path
from typing import IO

GZIP_MAGIC = b"\x1f\x8b"
SNIFFED = 1 << 16
QUOTED = re.compile(r'"[^"]*"')
DELIMITERS = ("\t", ",", ";")


def first_bytes(path: Path, n: int) -> bytes:
    """The first `n` bytes of a file, unzipped if it is gzipped."""
    with open_bytes(path) as file:
        return file.read(n)


def is_gzipped(path: Path) -> bool:
    """Whether a file starts like a gzip file, whatever its name."""
    with open(path, "rb") as file:
        return file.read(2) == GZIP_MAGIC


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading bytes; gzip is told by the content."""
    return gzip.open(path, "rb") if is_gzipped(path) else open(path, "rb")


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
