"""What R's `saveRDS` and `save` write, walked from front to back without R.

R serialises an object as one stream without lengths of its parts: to know where a matrix begins, everything
before it must be walked over. `read_tree` does that once and keeps a light tree: lists, attributes (the
slots of S4 objects among them) and short vectors; of long vectors only where in the unpacked stream their
bytes lie, and a few of their numbers. What no matrix can be in (functions, byte code, environments,
pointers) is walked over without being kept. `vectors` reads the long vectors of the tree.

The layout is that of R's src/main/serialize.c, versions 2 and 3, big-endian (XDR) and little-endian.
"""

import hashlib
import struct
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...core.contents import unpacked
from ...errors import InputError

MAGIC = {b"RDX2\n", b"RDX3\n", b"RDB2\n", b"RDB3\n"}
"""How a file of `save` begins; one of `saveRDS` begins with the stream itself."""

STARTS = (
    *(b"X\n" + version.to_bytes(4, "big") for version in (2, 3)),
    *(b"B\n" + version.to_bytes(4, "little") for version in (2, 3)),
    *MAGIC,
)
ASCII_STARTS = (b"A\n2\n", b"A\n3\n", b"RDA2\n", b"RDA3\n")

SHORT_BYTES = 1 << 10
"""Vectors up to this size are always kept."""

KEPT_BYTES = 64 << 20
"""Longer ones, up to `KEPT_AT_ONCE` each, as long as they take no more than this together."""

KEPT_AT_ONCE = 8 << 20
GLIMPSED = 1 << 12
"""Numbers kept of the beginning, the middle and the end of a long vector."""

GLIMPSED_BYTES = 64 << 20
MOST_ITEMS = 1 << 16
"""A longer list, or a tree with more nodes, is no table and no set of matrices."""

MOST_NODES = 1 << 18
MOST_LEVELS = 100_000
CHUNK = 1 << 18

NOT_WALKED_FOR = frozenset(
    [
        *("calc.params", "cluster.tree", "commands", "dr", "graphs", "images", "imputed", "kmeans", "misc"),
        *("neighbors", "reductions", "snn", "spatial", "tools"),  # Seurat
        "metadata",  # SummarizedExperiment
        *("factors", "srcref"),  # what Matrix and R add to values
    ]
)
"""Attributes of which nothing is kept."""

# Types of R's values, and what stands in the stream in place of one.
SYMBOL, PAIRLIST, CLOSURE, ENVIRONMENT, PROMISE, LANGUAGE, SPECIAL, BUILTIN, STRING = range(1, 10)
CHARACTER, DOTS, LIST, EXPRESSION, BYTECODE, POINTER, WEAK_REFERENCE, RAW, S4 = 16, 17, *range(19, 26)
REFERENCE, PERSISTENT, PACKAGE, NAMESPACE, ALTREP = 255, 247, 248, 249, 238
REPEATED_DEFINED, REPEATED, LANGUAGE_WITH_ATTRIBUTES, PAIRLIST_WITH_ATTRIBUTES = 244, 243, 240, 239

WIDTHS = {"logical": "i4", "integer": "i4", "double": "f8"}
"""Types of numbers that are read, and how they are stored."""

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
FIELDS = "fields"
"""Of an environment or pairlist nothing is kept but `DATA`."""

DATA = ("data", ".->data")
"""The field of a reference object with its value, itself or, if it is checked, behind a function."""

HAS_ATTRIBUTES, HAS_TAG = 1 << 9, 1 << 10
HAS_NO_VALUE = -1


@dataclass(slots=True, eq=False)
class Node:
    """A value of R's, as far as it was kept.

    Attributes
    ----------
    kind
        R's name of its type: `logical`, `integer`, `double`, `character`, `list`, `S4`, `NULL`, …
    attributes
        By name; among them the slots of an S4 object, and `data` of an environment.
    items, tags
        Of a list or pairlist, and the names of a pairlist's; none if it was too long to be kept.
    length
        Of a vector or list.
    offset, size
        Where the bytes of a vector's values begin in the unpacked stream, and how many there are.
    kept
        These bytes, if they are few.
    glimpse
        Some numbers of a long vector of numbers, from its beginning, middle and end.
    digest
        Of the bytes of a vector of strings: two of the same digest are equal.
    text
        Name of a symbol.
    sequence
        First value and step, if a vector of numbers is stored as such.
    strings_of
        The numbers that a vector of strings is stored as.
    order
        `>` or `<`: byte order of the stream.
    """

    kind: str
    attributes: dict[str, "Node"] = field(default_factory=dict)
    items: list["Node"] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    length: int = 0
    offset: int = 0
    size: int = 0
    kept: bytes | None = None
    glimpse: np.ndarray | None = None
    digest: bytes | None = None
    text: str = ""
    sequence: tuple[float, float] | None = None
    strings_of: "Node | None" = None
    order: str = ">"

    @property
    def is_null(self) -> bool:
        """Whether it is R's NULL, for which an empty slot of an S4 object has a symbol."""
        return self.kind == "NULL" or (self.kind == "symbol" and self.text == "\1NULL\1")

    @property
    def numbers(self) -> np.ndarray:
        """Values of a short vector of numbers; none if it is something else."""
        if self.sequence is not None and self.length <= MOST_ITEMS:
            return self.sequence[0] + self.sequence[1] * np.arange(self.length)
        if self.kind not in WIDTHS or self.kept is None:
            return np.empty(0)
        return np.frombuffer(self.kept, dtype=self.order + WIDTHS[self.kind])

    @property
    def strings(self) -> list[str]:
        """A short vector of strings; none if it is something else."""
        strings, at = [], 0
        while self.kind == "character" and self.kept is not None and at < len(self.kept):
            n = max(0, struct.unpack_from(f"{self.order}i", self.kept, at + 4)[0])
            strings.append(self.kept[at + 8 : at + 8 + n].decode("utf-8", "replace"))
            at += 8 + n
        return strings

    @property
    def classes(self) -> list[str]:
        """Names of its class, and of those that this extends if it is no S4 object."""
        found = self.attributes.get("class")
        return [] if found is None else found.strings

    @property
    def package(self) -> str:
        """Where its class is from."""
        found = self.attributes.get("class", self).attributes.get("package")
        return "".join([] if found is None else found.strings[:1])

    def slot(self, *names: str) -> "Node | None":
        """The slot (or attribute) that a chain of names leads to; None if there is none or it is NULL."""
        node = self
        for name in names:
            inner = node.attributes.get(name)
            if inner is None or inner.is_null:
                return None
            node = inner
        return node

    def named(self) -> dict[str, "Node"]:
        """Items of a list by their names, or by their numbers where they have none."""
        names = self.attributes["names"].strings if "names" in self.attributes else []
        names += [""] * (len(self.items) - len(names))
        return {
            name or str(number): item
            for number, (name, item) in enumerate(zip(names, self.items, strict=False), start=1)
        }


@dataclass(frozen=True)
class Tree:
    """The objects of a file.

    Attributes
    ----------
    path
        The file.
    objects
        By name; the one object of a file by `saveRDS` has the name "".
    encoding
        Of strings that are not marked as UTF-8 or Latin-1.
    is_packed
        Whether the file is compressed, so that `Node.offset` is no position in it.
    """

    path: Path
    objects: dict[str, Node]
    encoding: str
    is_packed: bool


Steps = Generator["Steps", Any, Any]
"""A part of the walk: yields the walk of a value inside it, and is sent what that returned."""


def read_tree(path: Path) -> Tree:
    """Walk through a file of `saveRDS` or `save` once.

    Memory is bounded by the constants above, about 200 MB at the most and a few MB as a rule.

    Raises
    ------
    InputError
        If it is no such file, written as text, or broken.
    EOFError
        If it ends too early.
    """
    with Stream(path) as stream:
        start = stream.peek(6)
        if start.startswith(ASCII_STARTS):
            raise InputError(
                f"{path}: was saved by R as text, and only R reads that; save it again without ascii = TRUE"
            )
        is_saved = start[:5] in MAGIC
        if not start.startswith(STARTS):
            raise InputError(
                f"{path}: is not a file of R's saveRDS or save; if R reads it, save it again with saveRDS"
            )
        if is_saved:
            stream.skip(5)
        encoding = stream.begin()
        walk = Walk(stream)
        root = walk.run(walk.bindings() if is_saved else walk.value(keep=True))
        # Checksums of compressed files are compared at their end.
        stream.skip_rest()
    objects = dict(zip(root.tags, root.items, strict=True)) if is_saved else {"": root}
    return Tree(path, objects, encoding, stream.is_packed)


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
        # GEO packs every file once more.
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
        """Number of the next byte."""
        return self._before + self.at

    def begin(self) -> str:
        """Read how the stream is written, and return the encoding of its strings."""
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
        """Have at least `n` bytes in the buffer."""
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
        """The next `n` bytes, or fewer at the end, without going on."""
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
        # In pieces, since a broken file can promise any number of them.
        pieces = []
        while n > 0:
            some = min(n, CHUNK)
            self.fill(some)
            pieces.append(self.buffer[self.at : self.at + some])
            self.at += some
            n -= some
        return b"".join(pieces)

    def skip(self, n: int) -> None:
        """Go `n` bytes forward."""
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
        """Go to the end."""
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

    def refuse(self, found: str) -> None:
        """Raise an `InputError` about what cannot stand here."""
        raise InputError(
            f"{self.path}: is broken, or written by an R that is not known yet: {found} at byte "
            f"{self.position} of its unpacked content; copy or download it again, or save it again "
            "with saveRDS"
        )


class Walk:
    """The walk through a stream.

    Its parts are generators that yield one another and are run here, one inside the other: values nest
    deeper than Python's own stack allows.

    Parameters
    ----------
    stream
        After its beginning.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._referred: list[Node] = []
        self._kept: dict[bytes, bytes] = {}
        self._kept_bytes = self._glimpsed_bytes = self._nodes = 0

    def run(self, first: Steps) -> Any:
        """Run a part of the walk with all parts inside it, and return what it returns."""
        stack, result = [first], None
        while stack:
            try:
                inner = stack[-1].send(result)
            except StopIteration as stop:
                stack.pop()
                result = stop.value
            else:
                stack.append(inner)
                result = None
                if len(stack) > MOST_LEVELS:
                    self._stream.refuse(f"values nested more than {MOST_LEVELS} deep")
        return result

    def bindings(self) -> Steps:
        """The named objects of a file by `save`."""
        flags = self._stream.integer()
        if flags & 0xFF not in (PAIRLIST, 254):
            self._stream.refuse(f"type {flags & 0xFF} in place of the list of objects")
        return (yield from self._pairs(True, flags, frozenset()))

    def value(self, keep: bool | str, flags: int | None = None) -> Steps:
        """Any value; returns its node.

        Parameters
        ----------
        keep
            Whether it is kept: True, False, or `FIELDS`.
        flags
            Its first integer, if it has been read.
        """
        stream = self._stream
        flags = stream.integer() if flags is None else flags
        kind = flags & 0xFF
        if kind in PAIRS:
            return (yield from self._pairs(keep, flags))
        if kind in NOTHING:
            return Node(NOTHING[kind])
        if kind == REFERENCE:
            return self._reference((flags >> 8) or stream.integer())
        if kind == SYMBOL:
            return self._refer(Node("symbol", text=self._string().decode("utf-8", "replace")))
        if kind in (PERSISTENT, PACKAGE, NAMESPACE):
            self._names()
            return self._refer(Node("environment"))
        if kind == ENVIRONMENT:
            return (yield from self._environment(keep))
        if kind == ALTREP:
            return (yield from self._altrep(keep))
        if kind in NUMBERS:
            node = self._numbers(*NUMBERS[kind], keep is True)
        elif kind == CHARACTER:
            node = self._strings(keep is True)
        elif kind in (LIST, EXPRESSION):
            node = Node("list" if kind == LIST else "expression", length=stream.length())
            keep = keep if node.length <= MOST_ITEMS else False
            for _ in range(node.length):
                item = yield self.value(keep)
                if keep and self._nodes < MOST_NODES:
                    self._nodes += 1
                    node.items.append(item)
            if len(node.items) < node.length:
                node.items = []
        elif kind == S4:
            node = Node("S4")
        elif kind in (POINTER, WEAK_REFERENCE):
            node = self._refer(Node("external pointer" if kind == POINTER else "weak reference"))
            if kind == POINTER:
                yield self.value(False)
                yield self.value(False)
        elif kind in (SPECIAL, BUILTIN):
            stream.skip(max(0, stream.integer()))
            node = Node("function")
        elif kind == BYTECODE:
            stream.integer()  # the number of repeated parts
            yield from self._bytecode()
            node = Node("bytecode")
        elif kind == STRING:
            self._string(flags)
            node = Node("string")
        else:
            stream.refuse(f"type {kind}")
        if flags & HAS_ATTRIBUTES:
            pairs = yield self.value(keep)
            node.attributes = dict(zip(pairs.tags, pairs.items, strict=True))
            self._forget_columns(node)
        return node

    def _reference(self, number: int) -> Node:
        if not 0 < number <= len(self._referred):
            self._stream.refuse(f"a reference to value {number} of {len(self._referred)}")
        return self._referred[number - 1]

    def _refer(self, node: Node) -> Node:
        """Enter a value in the table that references count by."""
        self._referred.append(node)
        return node

    def _pairs(self, keep: bool | str, flags: int, skipped: frozenset[str] = NOT_WALKED_FOR) -> Steps:
        """A pairlist, call, function or promise: chains of the same cells."""
        stream = self._stream
        node = Node(PAIRS.get(flags & 0xFF, "NULL"))
        keep = keep if flags & 0xFF == PAIRLIST else False
        while flags & 0xFF in PAIRS:
            if flags & HAS_ATTRIBUTES:
                yield self.value(False)
            tag = (yield self.value(False)).text if flags & HAS_TAG else ""
            wanted = tag in DATA if keep == FIELDS else keep and tag not in skipped
            item = yield self.value(wanted)
            if wanted and self._nodes < MOST_NODES:
                self._nodes += 1
                node.tags.append(tag)
                node.items.append(item)
            flags = stream.integer()
        if flags & 0xFF != 254:  # the last one is not NULL in a dotted pair
            item = yield self.value(keep, flags)
            if keep is True:
                node.tags.append("")
                node.items.append(item)
        return node

    def _environment(self, keep: bool | str) -> Steps:
        node = self._refer(Node("environment"))
        self._stream.integer()  # whether it is locked
        yield self.value(False)  # the environment around it
        frame = yield self.value(FIELDS if keep else False)
        table = yield self.value(FIELDS if keep else False)
        yield self.value(False)
        bindings: dict[str, Node] = {}
        for pairs in (frame, *table.items):
            bindings |= dict(zip(pairs.tags, pairs.items, strict=True))
        for name in DATA:
            if name in bindings:
                node.attributes["data"] = bindings[name]
        return node

    def _altrep(self, keep: bool | str) -> Steps:
        """A vector in one of R's other forms: a class, its state, and attributes."""
        about = yield self.value(True)
        state = yield self.value(keep)
        pairs = yield self.value(keep)
        if keep is not True:
            return Node("left out")
        name = about.items[0].text if about.items else ""
        inner = state.items[0] if state.items else state
        if name in ("compact_intseq", "compact_realseq"):
            if len(state.numbers) < 3:
                self._stream.refuse(f"a sequence of {len(state.numbers)} numbers")
            n, first, step = state.numbers[:3].tolist()
            kind = "integer" if name == "compact_intseq" else "double"
            node = Node(kind, length=int(n), sequence=(first, step))
        elif name == "deferred_string":
            node = Node("character", length=inner.length, strings_of=inner)
        elif name.startswith("mmap_"):
            # It lies in another file, which nothing is known of.
            node = Node(f"vector in another file ({name})")
        else:
            # A wrapper around a vector, or a package's class that saves its vectors as ordinary ones.
            node = inner
        node.attributes |= dict(zip(pairs.tags, pairs.items, strict=True))
        return node

    def _numbers(self, kind: str, width: int, keep: bool) -> Node:
        stream = self._stream
        n = stream.length()
        node = Node(kind, length=n, offset=stream.position, size=n * width, order=stream.order)
        if not keep:
            stream.skip(node.size)
        elif self._may_keep(node.size):
            node.kept = stream.read(node.size)
        elif kind in WIDTHS:
            self._glimpse(node, kind, width)
        else:
            stream.skip(node.size)
        return node

    def _may_keep(self, size: int) -> bool:
        if size <= SHORT_BYTES:
            return True
        if size > CHUNK or self._kept_bytes + size > KEPT_BYTES:
            return False
        self._kept_bytes += size
        return True

    def _glimpse(self, node: Node, kind: str, width: int) -> None:
        stream, n = self._stream, node.length
        end = node.offset + node.size
        some = min(n, GLIMPSED)
        if self._glimpsed_bytes + 3 * some * width <= GLIMPSED_BYTES:
            pieces, done = [], 0
            for start in (0, (n - some) // 2, n - some):
                begin = max(start, done)
                stream.skip((begin - done) * width)
                done = start + some
                pieces.append(stream.read((done - begin) * width))
            values = np.frombuffer(b"".join(pieces), dtype=stream.order + WIDTHS[kind])
            node.glimpse = values.astype(values.dtype.newbyteorder("="))
            self._glimpsed_bytes += node.glimpse.nbytes
        stream.skip(end - stream.position)

    def _forget_columns(self, node: Node) -> None:
        """Drop what was glimpsed of a table's columns: nobody asks for it, and columns can be many."""
        columns = node.attributes.get("listData") if node.kind == "S4" else node
        if columns is not None and ("rownames" in node.attributes or "row.names" in node.attributes):
            for column in columns.items:
                if column.glimpse is not None:
                    self._glimpsed_bytes -= column.glimpse.nbytes
                    column.glimpse = None

    def _string(self, flags: int | None = None) -> bytes:
        """A single string, as names of symbols are."""
        flags = self._stream.integer() if flags is None else flags
        if flags & 0xFF != STRING:
            self._stream.refuse(f"type {flags & 0xFF} in place of a string")
        n = self._stream.integer()
        return b"" if n == HAS_NO_VALUE else self._stream.read(n)

    def _names(self) -> None:
        """The strings that name a package, namespace or persistent object."""
        self._stream.integer()
        for _ in range(self._stream.integer()):
            self._string()

    def _strings(self, keep: bool) -> Node:
        """A vector of strings: type, length and bytes of each, 10 million of them as often as not."""
        stream = self._stream
        n = missing = stream.length()
        node = Node("character", length=n, offset=stream.position, order=stream.order)
        digest = hashlib.blake2b(digest_size=16)
        kept: list[bytes] | None = [] if keep else None
        size = 0
        unpack = stream.header_of_string.unpack_from
        while missing:
            stream.fill(8)
            buffer, at = stream.buffer, stream.at
            end = len(buffer) - 8
            while missing and at <= end:
                flags, length = unpack(buffer, at)
                if flags & 0xFF != STRING or length < HAS_NO_VALUE:
                    stream.refuse(f"type {flags & 0xFF} and length {length} in place of a string")
                following = at + 8 + (length if length > 0 else 0)
                if following > end + 8:
                    break
                at = following
                missing -= 1
            walked = buffer[stream.at : at]
            size += len(walked)
            stream.at = at
            if keep:
                digest.update(walked)
            if kept is not None:
                kept.append(walked)
                if size > KEPT_AT_ONCE:
                    kept = None
            if missing and at <= end:  # a string that goes beyond the buffer
                if length <= CHUNK:
                    stream.fill(8 + length)
                    continue
                # No name and no label: not worth the memory.
                digest.update(str(stream.position).encode())
                kept = None
                size += 8 + length
                stream.skip(8 + length)
                missing -= 1
        node.size = size
        if keep:
            node.digest = digest.digest()
        if kept is not None:
            node.kept = self._keep_once(node.digest, b"".join(kept))
        return node

    def _keep_once(self, digest: bytes | None, content: bytes) -> bytes | None:
        """The bytes of strings, held once where vectors are equal, as the names of matrices are."""
        if digest in self._kept:
            return self._kept[digest]
        if len(content) > SHORT_BYTES:
            if self._kept_bytes + len(content) > KEPT_BYTES:
                return None
            self._kept_bytes += len(content)
            self._kept[digest] = content
        return content

    def _bytecode(self) -> Steps:
        stream = self._stream
        yield self.value(False)
        for _ in range(stream.integer()):
            kind = stream.integer()
            if kind == BYTECODE:
                yield self._bytecode()
            else:
                yield self._constant(kind)

    def _constant(self, kind: int) -> Steps:
        """A constant of byte code: calls among them have a form of their own."""
        stream = self._stream
        with_attributes = (LANGUAGE_WITH_ATTRIBUTES, PAIRLIST_WITH_ATTRIBUTES)
        while True:
            if kind == REPEATED:
                stream.integer()
                return
            if kind == REPEATED_DEFINED:
                stream.integer()
                kind = stream.integer()
            if kind not in (LANGUAGE, PAIRLIST, *with_attributes):
                yield self.value(False)
                return
            if kind in with_attributes:
                yield self.value(False)
            yield self.value(False)  # the tag
            yield self._constant(stream.integer())
            kind = stream.integer()
