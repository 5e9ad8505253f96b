"""Walk over the stream of an R object; keeps small values, and the positions of large ones."""

import hashlib
from typing import Any

import numpy as np

from .nodes import DATA, FIELDS, HAS_NO_VALUE, MAX_ITEMS, WIDTHS, Node
from .stream import (
    ALTREP,
    BUILTIN,
    BYTECODE,
    CHARACTER,
    CHUNK,
    ENVIRONMENT,
    EXPRESSION,
    HAS_ATTRIBUTES,
    HAS_TAG,
    LANGUAGE,
    LANGUAGE_WITH_ATTRIBUTES,
    LIST,
    NAMESPACE,
    NOTHING,
    NUMBERS,
    PACKAGE,
    PAIRLIST,
    PAIRLIST_WITH_ATTRIBUTES,
    PAIRS,
    PERSISTENT,
    POINTER,
    REFERENCE,
    REPEATED,
    REPEATED_DEFINED,
    S4,
    SPECIAL,
    STRING,
    SYMBOL,
    WEAK_REFERENCE,
    Steps,
    Stream,
)

SHORT_BYTES = 1 << 10
"""Vectors up to this size are always kept."""

KEPT_BYTES = 64 << 20
"""Limit of all longer vectors together that are kept, each of up to `KEPT_AT_ONCE`."""

KEPT_AT_ONCE = 8 << 20
PREVIEW_ITEMS = 1 << 12
"""Numbers kept from the start, the middle and the end of a long vector."""

MAX_PREVIEW_BYTES = 64 << 20
MAX_NODES = 1 << 18
MAX_LEVELS = 100_000
NOT_WALKED_FOR = frozenset(
    [
        *("calc.params", "cluster.tree", "commands", "dr", "graphs", "images", "imputed", "kmeans", "misc"),
        *("neighbors", "reductions", "snn", "spatial", "tools"),  # Seurat
        "metadata",  # SummarizedExperiment
        *("factors", "srcref"),  # added to values by Matrix and R
    ]
)
"""Attributes that are never kept."""


class Walk:
    """The walk through a stream.

    Its parts are generators that yield other parts and are run by a loop, since values can nest deeper than
    Python's own stack allows.

    Parameters
    ----------
    stream
        The stream, after its start.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._referred: list[Node] = []
        self._kept: dict[bytes, bytes] = {}
        self._kept_bytes = self._preview_bytes = self._nodes = 0

    def run(self, first: Steps) -> Any:
        """Run a part of the walk with all parts within it, and return its result."""
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
                if len(stack) > MAX_LEVELS:
                    self._stream.refuse(f"values nested more than {MAX_LEVELS} deep")
        return result

    def bindings(self) -> Steps:
        """Walk over the named objects in a file of `save`."""
        flags = self._stream.integer()
        if flags & 0xFF not in (PAIRLIST, 254):
            self._stream.refuse(f"type {flags & 0xFF} in place of the list of objects")
        return (yield from self._pairs(True, flags, frozenset()))

    def value(self, keep: bool | str, flags: int | None = None) -> Steps:
        """Walk over any value; returns its node.

        Parameters
        ----------
        keep
            True to keep the value, False to skip it, or `FIELDS`.
        flags
            First integer of the value, if already read.
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
            keep = keep if node.length <= MAX_ITEMS else False
            for _ in range(node.length):
                item = yield self.value(keep)
                if keep and self._nodes < MAX_NODES:
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
        """Add a value to the table that references index."""
        self._referred.append(node)
        return node

    def _pairs(self, keep: bool | str, flags: int, skipped: frozenset[str] = NOT_WALKED_FOR) -> Steps:
        """Walk over a pairlist, call, function or promise, which are chains of the same cells."""
        stream = self._stream
        node = Node(PAIRS.get(flags & 0xFF, "NULL"))
        keep = keep if flags & 0xFF == PAIRLIST else False
        while flags & 0xFF in PAIRS:
            if flags & HAS_ATTRIBUTES:
                yield self.value(False)
            tag = (yield self.value(False)).text if flags & HAS_TAG else ""
            wanted = tag in DATA if keep == FIELDS else keep and tag not in skipped
            item = yield self.value(wanted)
            if wanted and self._nodes < MAX_NODES:
                self._nodes += 1
                node.tags.append(tag)
                node.items.append(item)
            flags = stream.integer()
        if flags & 0xFF != 254:  # in a dotted pair the last value is not NULL
            item = yield self.value(keep, flags)
            if keep is True:
                node.tags.append("")
                node.items.append(item)
        return node

    def _environment(self, keep: bool | str) -> Steps:
        node = self._refer(Node("environment"))
        self._stream.integer()  # 1 if it is locked
        yield self.value(False)  # the enclosing environment
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
        """Walk over a vector in an alternative form of R: a class, its state, and attributes."""
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
            # Stored in another file, which is not read.
            node = Node(f"vector in another file ({name})")
        else:
            # A wrapper around a vector, or a package's class that saves its vectors in the ordinary form.
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
            self._preview(node, kind, width)
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

    def _preview(self, node: Node, kind: str, width: int) -> None:
        stream, n = self._stream, node.length
        end = node.offset + node.size
        some = min(n, PREVIEW_ITEMS)
        if self._preview_bytes + 3 * some * width <= MAX_PREVIEW_BYTES:
            pieces, done = [], 0
            for start in (0, (n - some) // 2, n - some):
                begin = max(start, done)
                stream.skip((begin - done) * width)
                done = start + some
                pieces.append(stream.read((done - begin) * width))
            values = np.frombuffer(b"".join(pieces), dtype=stream.order + WIDTHS[kind])
            node.preview = values.astype(values.dtype.newbyteorder("="))
            self._preview_bytes += node.preview.nbytes
        stream.skip(end - stream.position)

    def _forget_columns(self, node: Node) -> None:
        """Drop the previews of a table's columns, which are not used and can be many."""
        columns = node.attributes.get("listData") if node.kind == "S4" else node
        if columns is not None and ("rownames" in node.attributes or "row.names" in node.attributes):
            for column in columns.items:
                if column.preview is not None:
                    self._preview_bytes -= column.preview.nbytes
                    column.preview = None

    def _string(self, flags: int | None = None) -> bytes:
        """Read a single string, such as the name of a symbol."""
        flags = self._stream.integer() if flags is None else flags
        if flags & 0xFF != STRING:
            self._stream.refuse(f"type {flags & 0xFF} in place of a string")
        n = self._stream.integer()
        return b"" if n == HAS_NO_VALUE else self._stream.read(n)

    def _names(self) -> None:
        """Read the strings that name a package, namespace or persistent object."""
        self._stream.integer()
        for _ in range(self._stream.integer()):
            self._string()

    def _strings(self, keep: bool) -> Node:
        """Walk over a vector of strings, often 10 million: type, length and bytes of each."""
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
            if missing and at <= end:  # a string that extends beyond the buffer
                if length <= CHUNK:
                    stream.fill(8 + length)
                    continue
                # Too long for a name or label: not kept.
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
        """The bytes of strings, held once for equal vectors such as the names of matrices."""
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
        """Walk over a constant of byte code; calls have a form of their own."""
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
