"""10x Genomics' folders of matrix.mtx, barcodes.tsv and features.tsv (or genes.tsv), gzipped or plain.

Such a folder may be in a zip archive, anywhere, and is read as it is unpacked; nothing goes to disk.
Prefixed names such as `sample1_matrix.mtx.gz` are understood too. Entries may be in any order: sorted
by cell, as Cell Ranger writes them, they are streamed; otherwise they go through files on disk.
"""

import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..samples import prefix_of_matrix
from ..text import open_bytes, split_line
from ..transpose import Entries, row_blocks, sorted_row_blocks
from .interface import Block, Cells, Header, Looks, Options, refuse_place
from .market import Size, entries, read_size
from .matrix import looks_like_counts

type File = Path | zipfile.Path

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of an archive, and of an empty one."""

ENCRYPTED = 1
"""Flag of a file in an archive."""

CELLS_AT_ONCE = 1 << 17
GLANCE_BYTES = 1 << 20


def recognises(path: Path, looks: Looks) -> bool:
    """Whether this is a MatrixMarket file, a folder with one (or with such a folder), or any zip archive."""
    in_folder = path.is_dir() and (any(path.glob("*.mtx*")) or any(path.glob("*/*.mtx*")))
    return in_folder or looks.start.startswith((b"%%MatrixMarket", *ZIP))


def header(path: Path, options: Options) -> Header:
    """Read the header of a 10x mtx folder; see `interface.Header`."""
    refuse_place(path, options)
    matrix, prefix = _find_matrix(path)
    features = _find(matrix, prefix, ("features.tsv", "genes.tsv"))
    barcodes = _find(matrix, prefix, ("barcodes.tsv",))
    size = read_size(matrix)
    rows, n_lines = _read_features(features), sum(1 for _ in _lines(barcodes))
    headers = _headers(len(rows), n_lines, size)
    if headers is None:
        raise InputError(
            f"{matrix}: is {size.rows} × {size.columns}, but {features.name} names {len(rows)} features and "
            f"{barcodes.name} {n_lines} cells; these files do not belong together or one is incomplete: "
            "export or download them again"
        )
    var, n_cells = _named(rows[headers[0] :]), n_lines - headers[1]
    named = (len(var), n_cells)
    details = {
        "matrix": matrix,
        "barcodes": barcodes,
        "barcodes_header": headers[1],
        # Genes × cells is the rule; a square matrix is taken to follow it.
        "cells_are_rows": (size.rows, size.columns) != named,
    }
    first = next(entries(matrix, size, GLANCE_BYTES), None)
    first = Entries(*(np.empty(0),) * 3) if first is None else first
    cells_of, genes_of = (
        (first.rows, first.columns) if details["cells_are_rows"] else (first.columns, first.rows)
    )
    is_all = len(first.rows) == size.entries
    # One gene's entries in the order of the cells do not tell how the file goes on.
    details["sorted"] = bool(np.all(np.diff(cells_of) >= 0) and (is_all or np.ptp(genes_of) > 0))
    return Header(
        path=path,
        format="10x_mtx",
        options=options,
        n_cells=n_cells,
        n_genes=len(var),
        nonzeros=size.entries,
        dtype=size.field,
        storage="text",
        places={"matrix": looks_like_counts(first.values)},
        counts="matrix",
        var=var,
        obs_columns=[],
        glanced=first.values,
        details=details,
    )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Barcodes, a hundred thousand or so at a time; the format holds no annotation."""
    names = _barcodes(header)
    while some := list(itertools.islice(names, CELLS_AT_ONCE)):
        yield Cells(np.array(some, dtype=object), {})


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
    """Counts and barcodes, in row blocks; see `formats.blocks`."""
    details = header.details
    shape = (header.n_cells, header.n_genes)
    # Parsing text takes about eight times its size.
    batches = entries(details["matrix"], read_size(details["matrix"]), max(1, max_bytes // 8))
    if not details["cells_are_rows"]:
        batches = (Entries(batch.columns, batch.rows, batch.values) for batch in batches)
    if details["sorted"]:
        rows = sorted_row_blocks(batches, shape, max_bytes)
    else:
        rows = row_blocks(batches, shape, max_bytes, scratch, nonzeros=header.nonzeros)
    names = _barcodes(header)
    for counts in rows:
        yield Block(counts, np.array(list(itertools.islice(names, counts.shape[0])), dtype=object), {})


def _find_matrix(path: File) -> tuple[File, str]:
    """The matrix file, and what stands before `matrix.mtx` in its name."""
    if isinstance(path, Path) and path.is_file():
        with open(path, "rb") as file:
            is_zip = file.read(4) in ZIP
        if is_zip:
            return _with_prefix(_matrix_in_zip(path))
    if path.is_file():
        return _with_prefix(path)
    found: dict[str, Path] = {}
    for file in sorted(path.glob("*.mtx")) + sorted(path.glob("*.mtx.gz")):
        found[file.name.removesuffix(".gz")] = file
    if len(found) == 1:
        return _with_prefix(next(iter(found.values())))
    if found:
        raise InputError(
            f"{path}: holds several matrices, {', '.join(sorted(found))}; "
            "name one of the files instead of the folder"
        )
    below = sorted({str(file.parent) for file in path.glob("*/*.mtx*")})
    hint = f"; there are some in {', '.join(below)}: name one of these" if below else "; correct the path"
    raise InputError(f"{path}: holds no matrix.mtx or matrix.mtx.gz{hint}")


def _with_prefix(matrix: File) -> tuple[File, str]:
    return matrix, prefix_of_matrix(matrix.name)


def _matrix_in_zip(path: Path) -> zipfile.Path:
    archive = zipfile.ZipFile(path)
    # What macOS packs along are no files of the user's.
    files = [file for file in archive.infolist() if not file.is_dir() and "__MACOSX" not in file.filename]
    found = [file for file in files if file.filename.endswith((".mtx", ".mtx.gz"))]
    if len(found) != 1:
        inside = ", ".join(file.filename for file in (found or files)[:5]) or "nothing"
        raise InputError(
            f"{path}: is a zip archive, in which there must be one matrix.mtx or matrix.mtx.gz, with "
            f"barcodes and features beside it, and it holds {inside}; unpack it and name what is to be read"
        )
    if found[0].flag_bits & ENCRYPTED:
        raise InputError(f"{path}: is a zip archive with a password; unpack it and name the folder")
    return zipfile.Path(archive, found[0].filename)


def _find(matrix: File, prefix: str, names: tuple[str, ...]) -> File:
    for name in names:
        for ending in ("", ".gz"):
            candidate = matrix.parent / f"{prefix}{name}{ending}"
            if candidate.is_file():
                return candidate
    raise InputError(
        f"{matrix}: beside it there must be {' or '.join(prefix + name for name in names)}, "
        "gzipped or plain; copy it there"
    )


def _lines(path: File) -> Iterator[str]:
    """Lines of a list that are not empty, without a byte-order mark."""
    with open_bytes(path) as file:
        for number, line in enumerate(file):
            text = line.decode("utf-8-sig" if number == 0 else "utf-8").rstrip("\r\n")
            if text.strip():
                yield text


def _read_features(path: File) -> list[list[str]]:
    return list(map(_fields, _lines(path)))


def _fields(line: str) -> list[str]:
    """Fields of a line, without the quotes that R writes."""
    fields = split_line(line, "\t") if '"' in line else line.split("\t")
    return [field.strip() for field in fields]


def _named(rows: list[list[str]]) -> pd.DataFrame:
    """Features: ids and names in the first two columns, types in the third, or names alone."""
    width = min(map(len, rows), default=0)
    if width < 2:
        return pd.DataFrame(index=pd.Index([row[0] for row in rows], dtype=object))
    columns = {"gene_ids": [row[0] for row in rows]}
    if width > 2:
        columns["feature_types"] = [row[2] for row in rows]
    return pd.DataFrame(columns, index=pd.Index([row[1] for row in rows], dtype=object), dtype=object)


def _barcodes(header: Header) -> Iterator[str]:
    lines = itertools.islice(_lines(header.details["barcodes"]), header.details["barcodes_header"], None)
    for line in lines:
        yield _fields(line)[0]


def _headers(n_features: int, n_barcodes: int, size: Size) -> tuple[int, int] | None:
    """Lines of a header in the lists of features and barcodes (0 or 1) with which they fit the matrix."""
    for headers in ((0, 0), (1, 0), (0, 1), (1, 1)):
        named = (n_features - headers[0], n_barcodes - headers[1])
        if named in ((size.rows, size.columns), (size.columns, size.rows)):
            return headers
    return None
