"""10x Genomics' folders of matrix.mtx, barcodes.tsv and features.tsv (or genes.tsv), gzipped or plain.

Also folders of kb, Parse Biosciences, alevin and alevin-fry, whose lists have other names (`mtx_lists`). A
folder may be in a zip archive, at any place; it is read without unpacking to disk. Names with a prefix such
as `sample1_matrix.mtx.gz` are supported. Entries sorted by cell, as Cell Ranger writes them, are streamed; in
another order they are sorted in files on disk.
"""

import csv
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.mtx_lists import File, Lists, find_lists, missing_list, stem_of
from ..core.text import open_text, split_line, without_quoted
from ..errors import InputError
from .interface import Block, Cells, FileSignature, Header, Options, refuse_place
from .market import Size, entries, read_size
from .matrix import looks_like_counts
from .sorting import Entries, row_blocks, sorted_row_blocks

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of an archive, and of an empty one."""

ENCRYPTED = 1
"""Flag of an encrypted file in an archive."""

TOTAL = "cells_x_genes.total.mtx"
"""Sum of kb's other matrices, which is also in its h5ad file."""

OF_KB = "cells_x_genes."
ALEVIN = "quants_mat"
CELL = "bc_wells"
"""Column of the cells' names in Parse Biosciences' tables."""

CELLS_AT_ONCE = 1 << 17
LINES_LOOKED_AT = 100
PREVIEW_BYTES = 1 << 20


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True for a MatrixMarket file, a folder with one (also in a subfolder), or any zip archive."""
    in_folder = path.is_dir() and (any(path.glob("*.mtx*")) or any(path.glob("*/*.mtx*")))
    return in_folder or signature.start.startswith((b"%%MatrixMarket", *ZIP))


def header(path: Path, options: Options) -> Header:
    """Read the header of a 10x mtx folder; see `interface.Header`."""
    refuse_place(path, options)
    matrix, others = _find_matrix(path)
    lists = _find_lists(matrix)
    size = read_size(matrix)
    rows, n_lines = _read_features(lists), _count_cells(lists.cells)
    headers = _headers(len(rows), n_lines, size)
    _refuse_parts_of_genes(matrix, [row[0] for row in rows], size)
    if headers is None:
        raise InputError(
            f"{matrix}: is {size.rows} × {size.columns}, but {lists.genes.name} names {len(rows)} features "
            f"and {lists.cells.name} {n_lines} cells; these files do not belong together or one is "
            "incomplete: export or download them again"
        )
    var, n_cells = _named(rows[headers[0] :]), n_lines - headers[1]
    is_square = size.rows == size.columns
    details = {
        "matrix": matrix,
        "barcodes": lists.cells,
        "barcodes_header": headers[1],
        "cells_are_rows": lists.cells_are_rows if is_square else size.rows == n_cells,
    }
    first = next(entries(matrix, size, PREVIEW_BYTES), None)
    first = Entries(*(np.empty(0),) * 3) if first is None else first
    cells_of, genes_of = (
        (first.rows, first.columns) if details["cells_are_rows"] else (first.columns, first.rows)
    )
    is_all = len(first.rows) == size.entries
    # Entries of one gene only, in the order of the cells, do not show the order of the rest.
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
        preview=first.values,
        remarks=[f"{matrix.name} is read, but not {', '.join(others)}"] if others else [],
        details=details,
    )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield barcodes, about a hundred thousand at a time; the format has no annotation."""
    names = _barcodes(header)
    while some := list(itertools.islice(names, CELLS_AT_ONCE)):
        yield Cells(np.array(some, dtype=object), {})


def blocks(header: Header, columns: list[str], max_bytes: int, scratch: Path) -> Iterator[Block]:
    """Yield counts and barcodes in row blocks; see `formats.blocks`."""
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


def _find_matrix(path: File) -> tuple[File, list[str]]:
    """The matrix file, and the names of matrices beside it that are not read."""
    if isinstance(path, Path) and path.is_file():
        with open(path, "rb") as file:
            is_zip = file.read(4) in ZIP
        if is_zip:
            return _matrix_in_zip(path), []
    if path.is_file():
        return path, []
    found: dict[str, Path] = {}
    for file in sorted(path.glob("*.mtx")) + sorted(path.glob("*.mtx.gz")):
        found[file.name.removesuffix(".gz")] = file
    if len(found) == 1:
        return next(iter(found.values())), []
    if TOTAL in found and all(name.startswith(OF_KB) for name in found):
        return found[TOTAL], [name for name in found if name != TOTAL]
    if found:
        raise InputError(
            f"{path}: contains several matrices, {', '.join(sorted(found))}; name one of the files instead "
            "of the folder"
        )
    below = sorted({str(file.parent) for file in path.glob("*/*.mtx*")})
    hint = f"; name one of the folders {', '.join(below)}" if below else "; correct the path"
    raise InputError(f"{path}: contains no matrix.mtx or matrix.mtx.gz{hint}")


def _matrix_in_zip(path: Path) -> zipfile.Path:
    archive = zipfile.ZipFile(path)
    # macOS adds files of its own to archives.
    files = [file for file in archive.infolist() if not file.is_dir() and "__MACOSX" not in file.filename]
    matrices = [file for file in files if file.filename.endswith((".mtx", ".mtx.gz"))]
    if len(matrices) != 1:
        inside = ", ".join(file.filename for file in (matrices or files)[:5]) or "nothing"
        raise InputError(
            f"{path}: is a zip archive, which must contain one matrix.mtx or matrix.mtx.gz with barcodes and "
            f"features beside it, but contains {inside}; unpack it and name the file or folder to read"
        )
    if matrices[0].flag_bits & ENCRYPTED:
        raise InputError(f"{path}: is a zip archive with a password; unpack it and name the folder")
    return zipfile.Path(archive, matrices[0].filename)


def _find_lists(matrix: File) -> Lists:
    found = find_lists(matrix)
    if found is not None:
        return found
    if (matrix.parent / f"{stem_of(matrix.name)}.ec.txt").is_file():
        raise InputError(
            f"{matrix}: counts equivalence classes of transcripts, not genes; count again without --tcc (kb) "
            "or with --genecounts (bustools)"
        )
    raise InputError(
        f"{matrix}: {' or '.join(missing_list(matrix))} is missing beside it; copy the list there, gzipped "
        "or plain"
    )


def _refuse_parts_of_genes(matrix: File, genes: list[str], size: Size) -> None:
    """Raise an `InputError` for alevin-fry's three columns per gene: spliced, unspliced, ambiguous."""
    n = len(genes) // 3
    parts = [genes[n : 2 * n], genes[2 * n :]]
    marked = [[f"{gene}{mark}" for gene in genes[:n]] for mark in ("-U", "-A")]
    if stem_of(matrix.name).endswith(ALEVIN) and (
        (genes and parts == marked) or size.columns == 3 * len(genes)
    ):
        folder = Path(str(matrix)).parent
        folder = folder.parent if folder.name == "alevin" else folder
        raise InputError(
            f"{matrix}: was counted by alevin-fry in USA mode: each gene's spliced, unspliced and ambiguous "
            "counts are three columns. Add them up (pyroe convert --output-structure scRNA "
            f"--output-format h5ad {folder} counts.h5ad; for nuclei snRNA) and name the new file"
        )


def _lines(path: File) -> Iterator[str]:
    """Yield the lines of a list, without empty ones."""
    with open_text(path) as file:
        for line in file:
            text = line.decode().rstrip("\r\n")
            if text.strip():
                yield text


def _read_features(lists: Lists) -> list[list[str]]:
    """Rows of the list of genes: id, name and type, or fewer of these."""
    if _is_table(lists.genes):
        return _read_table_of_genes(lists.genes)
    rows = list(_rows(lists.genes))
    if lists.gene_names is None:
        return rows
    with open_text(lists.gene_names) as file:
        # A gene without a name has an empty line.
        names = [line.decode().strip() for line in file]
    if len(names) != len(rows):
        raise InputError(
            f"{lists.gene_names}: has {len(names)} lines, but {lists.genes.name} names {len(rows)} genes; "
            "these files do not belong together: export or copy them again"
        )
    return [[row[0], name or row[0]] for row, name in zip(rows, names, strict=True)]


def _is_table(path: File) -> bool:
    """True if a list is a table with a header, as Parse Biosciences writes it."""
    return path.name.removesuffix(".gz").endswith(".csv")


def _read_table_of_genes(path: File) -> list[list[str]]:
    """Ids and names of Parse Biosciences' genes, from a table with a header."""
    lines = csv.reader(_lines(path))
    header = [field.strip() for field in next(lines, [])]
    missing = [name for name in ("gene_id", "gene_name") if name not in header]
    if missing:
        raise InputError(
            f"{path}: has no column {' or '.join(missing)}; its columns are {', '.join(header[:10])}: "
            "export or copy it again"
        )
    ids, names = header.index("gene_id"), header.index("gene_name")
    return [[row[ids], row[names] or row[ids]] for row in lines]


def _count_cells(path: File) -> int:
    """Number of names that `_cell_names` yields, without splitting the lines of a list."""
    return sum(1 for _ in (_cell_names(path) if _is_table(path) else _lines(path)))


def _cell_names(path: File) -> Iterator[str]:
    """Yield names of all cells; a table's header is left out, a possible header of a list is not."""
    if not _is_table(path):
        yield from (row[0] for row in _rows(path))
        return
    lines = csv.reader(_lines(path))
    header = next(lines, [])
    column = header.index(CELL) if CELL in header else 0
    yield from (row[column] for row in lines)


def _rows(path: File) -> Iterator[list[str]]:
    """Yield the fields of a list's lines, without row numbers as R and pandas write them."""
    lines = _lines(path)
    first = list(itertools.islice(lines, LINES_LOOKED_AT))
    delimiter = _delimiter(first)
    is_numbered = _are_numbered([_fields(line, delimiter) for line in first])
    for line in itertools.chain(first, lines):
        fields = _fields(line, delimiter)
        # R's header has no name for the row numbers.
        yield fields[1:] if is_numbered and len(fields) > 1 else fields


def _delimiter(lines: list[str]) -> str:
    """A tab; or a comma or quoted blanks, if all lines have them and no line has a tab."""
    if any("\t" in line for line in lines):
        return "\t"
    if all('" "' in line for line in lines[1:]) and lines[1:]:
        return " "
    n_commas = {without_quoted(line).count(",") for line in lines}
    return "," if len(n_commas) == 1 and 0 not in n_commas else "\t"


def _are_numbered(rows: list[list[str]]) -> bool:
    """True if the first fields number the rows, from 0 or 1, with or without a header."""
    for body in (rows, rows[1:]):
        firsts = [row[0] for row in body if len(row) > 1]
        if len(firsts) == len(body) > 1 and firsts in (
            list(map(str, range(len(firsts)))),
            list(map(str, range(1, len(firsts) + 1))),
        ):
            return True
    return False


def _fields(line: str, delimiter: str) -> list[str]:
    """Fields of a line, without R's quotes."""
    fields = split_line(line, delimiter) if '"' in line or delimiter != "\t" else line.split("\t")
    return [field.strip() for field in fields]


def _named(rows: list[list[str]]) -> pd.DataFrame:
    """Features: ids and names in the first two columns, types in the third; or names alone."""
    if min(map(len, rows), default=0) < 2:
        return pd.DataFrame(index=pd.Index([row[0] for row in rows], dtype=object))
    columns = {"gene_ids": [row[0] for row in rows]}
    if max(map(len, rows)) > 2:
        columns["feature_types"] = [row[2] if len(row) > 2 else None for row in rows]
    return pd.DataFrame(columns, index=pd.Index([row[1] for row in rows], dtype=object), dtype=object)


def _barcodes(header: Header) -> Iterator[str]:
    names = _cell_names(header.details["barcodes"])
    return itertools.islice(names, header.details["barcodes_header"], None)


def _headers(n_features: int, n_barcodes: int, size: Size) -> tuple[int, int] | None:
    """Header lines (0 or 1) in the lists of features and barcodes that make them fit the matrix."""
    for headers in ((0, 0), (1, 0), (0, 1), (1, 1)):
        named = (n_features - headers[0], n_barcodes - headers[1])
        if named in ((size.rows, size.columns), (size.columns, size.rows)):
            return headers
    return None
