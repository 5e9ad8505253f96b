"""A writer of R's serialization, for matrices and the objects around them.

Values are functions that write themselves, so that an object of any size is written while it is made.
"""

import struct
from collections.abc import Callable, Iterable

import numpy as np

SYMBOL, PAIRLIST, CHARACTER, LIST, STRING, S4 = 1, 2, 16, 19, 9, 25
KINDS = {"b": (10, "i4"), "i": (13, "i4"), "f": (14, "f8")}
HAS_ATTRIBUTES, HAS_TAG, IS_OBJECT = 1 << 9, 1 << 10, 1 << 8
ASCII, UTF_8 = 1 << 18, 1 << 15
NULL, REFERENCE = 254, 255


class Writer:
    """Writes values to a file.

    Parameters
    ----------
    file
        Open for writing bytes.
    order
        `>` (XDR) or `<`.
    version
        2 or 3.
    """

    def __init__(self, file, order=">", version=3):
        self.file, self.order, self._symbols = file, order, {}
        file.write(b"X\n" if order == ">" else b"B\n")
        self.integers(version, 0x040202, 0x030500)
        if version == 3:
            self.integers(5)
            file.write(b"UTF-8")

    def integers(self, *values):
        self.file.write(struct.pack(f"{self.order}{len(values)}i", *values))

    def length(self, n):
        self.integers(
            *([n] if n < 2**31 else [-1, n >> 32, struct.unpack("i", struct.pack("I", n & 0xFFFFFFFF))[0]])
        )

    def symbol(self, name):
        if name in self._symbols:
            self.integers((self._symbols[name] << 8) + REFERENCE)
            return
        self._symbols[name] = len(self._symbols) + 1
        self.integers(SYMBOL)
        self.string(name)

    def string(self, string):
        if string is None:
            self.integers(STRING, -1)
            return
        encoded = string.encode()
        self.integers(STRING + (ASCII if string.isascii() else UTF_8), len(encoded))
        self.file.write(encoded)

    def attributes(self, values):
        for name, value in values.items():
            self.integers(PAIRLIST + HAS_TAG)
            self.symbol(name)
            value(self)
        self.integers(NULL)


Value = Callable[[Writer], None]


def null(writer):
    writer.integers(NULL)


def numbers(values: np.ndarray | Iterable[np.ndarray], n: int | None = None, **attributes: Value) -> Value:
    """A vector of numbers: an array, or several arrays of `n` numbers in all."""
    parts = [np.asarray(values)] if n is None else values

    def write(writer):
        for number, part in enumerate(parts):
            kind, dtype = KINDS[part.dtype.kind]
            if number == 0:
                writer.integers(kind + (HAS_ATTRIBUTES if attributes else 0))
                writer.length(len(part) if n is None else n)
            writer.file.write(part.astype(writer.order + dtype).tobytes())
        if attributes:
            writer.attributes(attributes)

    return write


def strings(values: Iterable[str | None], n: int | None = None, **attributes: Value) -> Value:
    """A vector of strings."""
    values = list(values) if n is None else values

    def write(writer):
        writer.integers(CHARACTER + (HAS_ATTRIBUTES if attributes else 0))
        writer.length(len(values) if n is None else n)
        for value in values:
            writer.string(value)
        if attributes:
            writer.attributes(attributes)

    return write


def a_list(items: dict[str, Value] | list[Value], **attributes: Value) -> Value:
    """A list, with names or without."""
    if isinstance(items, dict):
        attributes = {"names": strings(items)} | attributes
        items = list(items.values())

    def write(writer):
        writer.integers(LIST + (HAS_ATTRIBUTES if attributes else 0))
        writer.length(len(items))
        for item in items:
            item(writer)
        if attributes:
            writer.attributes(attributes)

    return write


def s4(name: str, package: str, **slots: Value) -> Value:
    """An S4 object."""

    def write(writer):
        writer.integers(S4 + IS_OBJECT + HAS_ATTRIBUTES + (1 << 16))
        writer.attributes(slots | {"class": strings([name], package=strings([package]))})

    return write


def frame(columns: dict[str, Value], names: Iterable[str], n: int | None = None) -> Value:
    """A data.frame."""
    attributes = {"class": strings(["data.frame"]), "row.names": strings(names, n)}
    return a_list(columns, **attributes)


def factor(codes: np.ndarray, levels: list[str]) -> Value:
    """A factor; codes from 1 on."""
    return numbers(codes.astype(np.int32), levels=strings(levels), **{"class": strings(["factor"])})


def dgc(matrix, genes: Iterable[str] | None, cells: Iterable[str] | None) -> Value:
    """A dgCMatrix of genes × cells, given cells × genes in CSR."""
    sides = [null if names is None else strings(names) for names in (genes, cells)]
    return s4(
        "dgCMatrix",
        "Matrix",
        i=numbers(matrix.indices.astype(np.int32)),
        p=numbers(matrix.indptr.astype(np.int32)),
        Dim=numbers(np.array(matrix.shape[::-1], dtype=np.int32)),
        Dimnames=a_list(sides),
        x=numbers(matrix.data.astype(float)),
        factors=a_list([]),
    )


def dense(matrix: np.ndarray, genes: Iterable[str], cells: Iterable[str]) -> Value:
    """A matrix of genes × cells, given cells × genes."""
    shape = np.array(matrix.shape[::-1], dtype=np.int32)
    names = a_list([strings(genes), strings(cells)])
    return numbers(matrix.ravel(), dim=numbers(shape), dimnames=names)


def seurat(assays: dict[str, Value], meta_data: Value, active: str) -> Value:
    """A Seurat object of version 3 or later."""
    return s4(
        "Seurat",
        "SeuratObject",
        assays=a_list(assays),
        **{"meta.data": meta_data, "active.assay": strings([active])},
        misc=a_list([]),
    )


def assay(**slots: Value) -> Value:
    """An assay of Seurat 3 or 4."""
    return s4("Assay", "SeuratObject", **slots, key=strings(["rna_"]))


def write_rds(path, value: Value, opener=open, **options):
    with opener(path, "wb") as file:
        value(Writer(file, **options))


def write_rda(path, objects: dict[str, Value], opener=open, order=">", version=3):
    with opener(path, "wb") as file:
        file.write(f"RD{'X' if order == '>' else 'B'}{version}\n".encode())
        Writer(file, order, version).attributes(objects)
