"""Nodes of a stored R object."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MAX_ITEMS = 1 << 16
"""A longer list, or a tree with more nodes, is no table and no set of matrices."""

WIDTHS = {"logical": "i4", "integer": "i4", "double": "f8"}
"""Types of numbers that are read, and how they are stored."""

FIELDS = "fields"
"""Of an environment or pairlist nothing is kept but `DATA`."""

DATA = ("data", ".->data")
"""The field of a reference object with its value, itself or, if it is checked, behind a function."""

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
    preview
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
    preview: np.ndarray | None = None
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
        if self.sequence is not None and self.length <= MAX_ITEMS:
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
