"""Nodes of a stored R object."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MAX_ITEMS = 1 << 16
"""Longest list, and largest tree, that is kept; tables and sets of matrices are smaller."""

WIDTHS = {"logical": "i4", "integer": "i4", "double": "f8"}
"""Supported types of numbers, and their storage."""

FIELDS = "fields"
"""Value of `keep` for an environment or pairlist of which only `DATA` is kept."""

DATA = ("data", ".->data")
"""Field with the value of a reference object: the value itself or, for a checked field, in a function."""

HAS_NO_VALUE = -1


@dataclass(slots=True, eq=False)
class Node:
    """A value in R, as far as it was kept.

    Attributes
    ----------
    kind
        R's name of the type: `logical`, `integer`, `double`, `character`, `list`, `S4`, `NULL`, …
    attributes
        Attributes by name, including the slots of an S4 object, and `data` of an environment.
    items, tags
        Items of a list or pairlist, and names of a pairlist's items; empty if the list is too long.
    length
        Length of a vector or list.
    offset, size
        Position of a vector's values in the unpacked stream, and their number of bytes.
    kept
        These bytes, if they are few.
    preview
        Some numbers of a long numeric vector, from its start, middle and end.
    digest
        Digest of the bytes of a vector of strings: vectors with the same digest are equal.
    text
        Name of a symbol.
    sequence
        First value and step, if a numeric vector is stored as a sequence.
    strings_of
        The numbers as which a vector of strings is stored.
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
    preview: np.ndarray | None = None
    digest: bytes | None = None
    text: str = ""
    sequence: tuple[float, float] | None = None
    strings_of: "Node | None" = None
    order: str = ">"

    @property
    def is_null(self) -> bool:
        """True if it is R's NULL, which is a symbol in an empty slot of an S4 object."""
        return self.kind == "NULL" or (self.kind == "symbol" and self.text == "\1NULL\1")

    @property
    def numbers(self) -> np.ndarray:
        """Values of a short numeric vector; empty for any other value."""
        if self.sequence is not None and self.length <= MAX_ITEMS:
            return self.sequence[0] + self.sequence[1] * np.arange(self.length)
        if self.kind not in WIDTHS or self.kept is None:
            return np.empty(0)
        return np.frombuffer(self.kept, dtype=self.order + WIDTHS[self.kind])

    @property
    def strings(self) -> list[str]:
        """Values of a short vector of strings; empty for any other value."""
        strings, at = [], 0
        while self.kind == "character" and self.kept is not None and at < len(self.kept):
            n = max(0, struct.unpack_from(f"{self.order}i", self.kept, at + 4)[0])
            strings.append(self.kept[at + 8 : at + 8 + n].decode("utf-8", "replace"))
            at += 8 + n
        return strings

    @property
    def classes(self) -> list[str]:
        """Name of its class, and of the extended classes unless it is an S4 object."""
        found = self.attributes.get("class")
        return [] if found is None else found.strings

    @property
    def package(self) -> str:
        """Package of its class."""
        found = self.attributes.get("class", self).attributes.get("package")
        return "".join([] if found is None else found.strings[:1])

    def slot(self, *names: str) -> "Node | None":
        """The slot (or attribute) that a chain of names leads to; None if missing or NULL."""
        node = self
        for name in names:
            inner = node.attributes.get(name)
            if inner is None or inner.is_null:
                return None
            node = inner
        return node

    def named(self) -> dict[str, "Node"]:
        """Items of a list by name, or by number if unnamed."""
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
        Objects by name; the single object in a file of `saveRDS` has the name "".
    encoding
        Encoding of strings that are not marked as UTF-8 or Latin-1.
    is_packed
        True if the file is compressed, so that `Node.offset` is not a position in it.
    """

    path: Path
    objects: dict[str, Node]
    encoding: str
    is_packed: bool
