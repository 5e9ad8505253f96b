"""Stream of R's `saveRDS` and `save`, read from front to back without R.

R serializes an object as one stream without lengths of its parts: to find a matrix, everything before it must
be walked over. `read_tree` does so once and keeps a small tree: lists, attributes (including slots of S4
objects) and short vectors; for long vectors only the position of their bytes in the unpacked stream, and a
few numbers. Values that cannot contain a matrix (functions, byte code, environments, pointers) are skipped.
`vectors` reads the long vectors of the tree.

The layout is that of R's src/main/serialize.c, versions 2 and 3, big-endian (XDR) and little-endian.
"""

import struct
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from ...core.contents import unpacked
from ...errors import InputError

MAGIC = {b"RDX2\n", b"RDX3\n", b"RDB2\n", b"RDB3\n"}
"""First bytes of a file of `save`; a file of `saveRDS` begins with the stream itself."""

STARTS = (
    *(b"X\n" + version.to_bytes(4, "big") for version in (2, 3)),
    *(b"B\n" + version.to_bytes(4, "little") for version in (2, 3)),
    *MAGIC,
)
ASCII_STARTS = (b"A\n2\n", b"A\n3\n", b"RDA2\n", b"RDA3\n")
CHUNK = 1 << 18

# Types of R's values, and codes that replace a value in the stream.
SYMBOL, PAIRLIST, CLOSURE, ENVIRONMENT, PROMISE, LANGUAGE, SPECIAL, BUILTIN, STRING = range(1, 10)
CHARACTER, DOTS, LIST, EXPRESSION, BYTECODE, POINTER, WEAK_REFERENCE, RAW, S4 = 16, 17, *range(19, 26)
REFERENCE, PERSISTENT, PACKAGE, NAMESPACE, ALTREP = 255, 247, 248, 249, 238
REPEATED_DEFINED, REPEATED, LANGUAGE_WITH_ATTRIBUTES, PAIRLIST_WITH_ATTRIBUTES = 244, 243, 240, 239
HAS_ATTRIBUTES, HAS_TAG = 1 << 9, 1 << 10
NUMBERS = {10: ("logical", 4), 13: ("integer", 4), 14: ("double", 8), 15: ("complex", 16), RAW: ("raw", 1)}
PAIRS = {PAIRLIST: "pairlist", LANGUAGE: "language", CLOSURE: "function", PROMISE: "promise", DOTS: "..."}
NOTHING = {
    254: "NULL",
    253: "environment",
    252: "unbound value",
    251: "missing argument",
    250: "environment",
    242: "environment",
    241: "environment",
}
Steps = Generator["Steps", Any, Any]
"""A part of the walk: yields the walk of a value within it, and receives the result of that walk."""


class Stream:
    """The unpacked bytes of a file, front to back.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closing = ExitStack()
        # GEO compresses every file once more.
        self._file, layers = self._closing.enter_context(unpacked(path))
        self.is_packed = bool(layers)
        self._size = path.stat().st_size
        self._before = 0
        self.buffer = b""
        self.at = 0
        self.order = ">"
        self._integer = struct.Struct(">i")
        self.header_of_string = struct.Struct(">ii")

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *raised: Any) -> None:
        self._closing.close()

    @property
    def position(self) -> int:
        """Position of the next byte."""
        return self._before + self.at

    def begin(self) -> str:
        """Read the start of the stream, and return the encoding of its strings."""
        self._set_order(">" if self.read(2) == b"X\n" else "<")
        version = self.integer()
        self.skip(8)  # the versions of R that wrote it, and that can read it
        if version == 2:
            return "utf-8"
        if version != 3:
            self.refuse(f"has version {version} of R's format")
        return self.read(self.integer()).decode("ascii", "replace")

    def _set_order(self, order: str) -> None:
        self.order = order
        self._integer = struct.Struct(f"{order}i")
        self.header_of_string = struct.Struct(f"{order}ii")

    def fill(self, n: int) -> None:
        """Ensure that at least `n` bytes are in the buffer."""
        if len(self.buffer) - self.at >= n:
            return
        parts = [self.buffer[self.at :]]
        self._before += self.at
        self.at, missing = 0, n - len(parts[0])
        while missing > 0:
            parts.append(self._file.read(max(CHUNK, missing)))
            if not parts[-1]:
                raise EOFError("it ends in the middle of an object")
            missing -= len(parts[-1])
        self.buffer = b"".join(parts)

    def peek(self, n: int) -> bytes:
        """The next `n` bytes, or fewer at the end, without advancing."""
        if not self.buffer:
            self.buffer = self._file.read(CHUNK)
        return self.buffer[self.at : self.at + n]

    def integer(self) -> int:
        """Read an integer."""
        if len(self.buffer) - self.at < 4:
            self.fill(4)
        value = self._integer.unpack_from(self.buffer, self.at)[0]
        self.at += 4
        return value

    def length(self) -> int:
        """Read the length of a vector, which takes more bytes from 2³¹ on."""
        n = self.integer()
        if n == -1:
            upper, lower = self.integer(), self.integer()
            n = (upper << 32) + (lower & 0xFFFFFFFF)
        if n < 0:
            self.refuse(f"a vector of length {n}")
        return n

    def read(self, n: int) -> bytes:
        """Read `n` bytes."""
        if n < 0:
            self.refuse(f"{n} bytes")
        # In pieces, since a broken file can declare any number of them.
        pieces = []
        while n > 0:
            some = min(n, CHUNK)
            self.fill(some)
            pieces.append(self.buffer[self.at : self.at + some])
            self.at += some
            n -= some
        return b"".join(pieces)

    def skip(self, n: int) -> None:
        """Advance by `n` bytes."""
        held = len(self.buffer) - self.at
        if n <= held:
            self.at += n
            return
        target = self.position + n
        self._before, self.buffer, self.at = target, b"", 0
        if not self.is_packed:
            if target > self._size:
                raise EOFError("it ends in the middle of an object")
            self._file.seek(target)
            return
        missing = n - held
        while missing > 0:
            read = len(self._file.read(min(CHUNK, missing)))
            if not read:
                raise EOFError("it ends in the middle of an object")
            missing -= read

    def skip_rest(self) -> None:
        """Advance to the end."""
        if self.is_packed:
            while self._file.read(CHUNK):
                pass

    def copy(self, n: int, file: IO[bytes]) -> None:
        """Write the next `n` bytes to a file."""
        while n > 0:
            if self.at == len(self.buffer):
                self.fill(1)
            some = self.buffer[self.at : self.at + n]
            file.write(some)
            self.at += len(some)
            n -= len(some)

    def refuse(self, content: str) -> None:
        """Raise an `InputError` about unexpected content."""
        raise InputError(
            f"{self.path}: is broken, or written by an unsupported version of R: {content} at byte "
            f"{self.position} of its unpacked content; copy or download it again, or save it again "
            "with saveRDS"
        )
