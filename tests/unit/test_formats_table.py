import gzip

import numpy as np
import pandas as pd
import pytest
from cellferry.datasets.obs_table import ObsTable
from cellferry.errors import InputError
from reading import read_all, read_header

GENES = [f"ENSG{i:011d}" for i in range(12)]
CELLS = [f"s{i}" for i in range(40)]


BD = """####################
## BD Targeted Multiplex Rhapsody Analysis Pipeline Version 1.9.1
## Run ID: 20-1, 20-2
## Sample: a
#
####################

"""
FEATURECOUNTS = '# Program:featureCounts v2.0.1; Command:"featureCounts" "-a" "x, y.gtf" "-o" "a.txt" \n'


def make_counts():
    return np.random.default_rng(0).poisson(0.5, size=(len(CELLS), len(GENES)))


def write_table(path, *, genes_as_rows=False, header="pandas", genes=GENES, cells=CELLS, quoting=0, end="\n"):
    frame = pd.DataFrame(make_counts(), index=cells, columns=genes)
    frame = frame.T if genes_as_rows else frame
    text = frame.to_csv(sep="\t" if ".tsv" in path.name else ",", quoting=quoting, lineterminator=end)
    if header == "R":  # no name above the rows' names
        first, rest = text.split(end, 1)
        text = (
            first.lstrip('"').lstrip(",\t") + end + rest
            if not quoting
            else first.removeprefix('"",') + end + rest
        )
    if header == "corner":
        text = "gene" + text
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz", "a.txt"])
@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
def test_tables(tmp_path, name, genes_as_rows, max_bytes):
    header = read_header(write_table(tmp_path / name, genes_as_rows=genes_as_rows))
    assert (header.format, header.counts) == ("csv", "matrix")
    counts, names, _, sizes = read_all(header, tmp_path / "scratch", max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS
    assert list(header.var.index) == GENES
    assert all(size <= max_bytes for size in sizes)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("header", ["pandas", "R", "corner"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_headers(tmp_path, genes_as_rows, header, end):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, header=header, end=end)
    found = read_header(path)
    assert np.array_equal(read_all(found, tmp_path)[0], make_counts())


def test_quotes_everywhere(tmp_path):
    cells = [f"a,{name}" for name in CELLS]
    header = read_header(write_table(tmp_path / "a.csv", quoting=1, header="R", cells=cells))
    counts, names, _, _ = read_all(header, tmp_path)
    assert np.array_equal(counts, make_counts())
    assert list(names) == cells


@pytest.mark.parametrize("genes_as_rows", [True, False])
def test_lines_longer_than_the_csv_module_takes(tmp_path, genes_as_rows):
    n_genes = 12_000
    counts = pd.DataFrame(
        np.random.default_rng(0).poisson(0.1, size=(3, n_genes)),
        index=["s1", "s2", "s3"],
        columns=[f"ENSG{i:011d}" for i in range(n_genes)],
    )
    (counts.T if genes_as_rows else counts).to_csv(tmp_path / "a.csv")
    found, names, _, _ = read_all(read_header(tmp_path / "a.csv"), tmp_path)
    assert np.array_equal(found, counts)
    assert list(names) == ["s1", "s2", "s3"]


def test_quote_that_is_not_closed(tmp_path):
    (tmp_path / "a.csv").write_text('"' + "a," * 100_000 + "\n1,2\n")
    with pytest.raises(InputError, match=r"a\.csv: cannot be read"):
        read_header(tmp_path / "a.csv")


def test_byte_order_mark(tmp_path):
    path = write_table(tmp_path / "a.csv", header="corner")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_counts())


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize(
    ("genes", "cells"),
    [
        (GENES, [f"cell{i}" for i in range(40)]),
        ([f"X{i}" for i in range(12)], [f"{'ACGTTGCA' * 2}-{i}" for i in range(40)]),
        (["ACTB", "RPL3", "MT-CO1", *(f"X{i}" for i in range(9))], CELLS),
    ],
)
def test_orientation_is_told_from_names(tmp_path, genes_as_rows, genes, cells):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, genes=genes, cells=cells)
    assert read_header(path).n_cells == len(cells)


def test_orientation_that_cannot_be_told(tmp_path):
    path = write_table(tmp_path / "a.csv", genes=[f"X{i}" for i in range(12)])
    with pytest.raises(InputError, match=r"a\.csv: cannot tell .*set datasets\.blood\.orientation"):
        read_header(path)
    assert read_header(path, orientation="cells").n_cells == 40
    assert read_header(path, orientation="genes").n_cells == 12


def replace_field(path, line, field, text):
    lines = path.read_text().splitlines()
    fields = lines[line - 1].split(",")
    fields[field] = text
    lines[line - 1] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("genes_as_rows", [True, False])
def test_text_in_a_table(tmp_path, genes_as_rows):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    replace_field(path, 4, 3, "B cell")
    row, column = (GENES[2], CELLS[2]) if genes_as_rows else (CELLS[2], GENES[2])
    message = rf"a\.csv, line 4: 'B cell' in row '{row}', column '{column}' is not a number; .*key obs"
    with pytest.raises(InputError, match=message):
        read_header(path)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_that_is_met_late(tmp_path, monkeypatch, genes_as_rows, end):
    monkeypatch.setattr("cellferry.formats.table.GLANCE_BYTES", 100)
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    replace_field(path, 11, 5, "B cell")
    path.write_bytes(b"# a comment\n" + path.read_bytes().replace(b"\n", end.encode()))
    header = read_header(path)
    row, column = (GENES[9], CELLS[4]) if genes_as_rows else (CELLS[9], GENES[4])
    for max_bytes in (300, 10**6):
        with pytest.raises(InputError, match=rf"line 12: 'B cell' in row '{row}', column '{column}' is not"):
            read_all(header, tmp_path, max_bytes)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("text", ["", "NA", "nan"])
@pytest.mark.parametrize(("field", "glance"), [(3, 1 << 20), (12, 1 << 20), (3, 50)])
def test_missing_values_are_told_by_their_place(tmp_path, monkeypatch, genes_as_rows, text, field, glance):
    monkeypatch.setattr("cellferry.formats.table.GLANCE_BYTES", glance)
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, cells=CELLS[:12] + CELLS[12:])
    replace_field(path, 4, field, text)
    names = (GENES[2], CELLS[field - 1]) if genes_as_rows else (CELLS[2], GENES[field - 1])
    message = rf"line 4: no value \('{text}'\) in row '{names[0]}', column '{names[1]}'; write 0"
    with pytest.raises(InputError, match=message):
        read_all(read_header(path), tmp_path)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("text", ["3,0", "1,234", "1,234,567", "-1,5", "1 234", "1'234"])
@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_commas_in_numbers(tmp_path, genes_as_rows, text, delimiter):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    replace_field(path, 5, 2, "?")
    written = f'"{text}"' if delimiter == "," else text
    path.write_text(path.read_text().replace(",", delimiter).replace("?", written))
    with pytest.raises(
        InputError, match=rf"line 5: '{text}' in row .* is not a number; write decimal points"
    ):
        read_header(path)


def test_a_table_of_decimal_commas(tmp_path):
    lines = [";".join(["", *CELLS]), *(";".join([gene, *["1,0"] * len(CELLS)]) for gene in GENES)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"line 2: '1,0' in row '{GENES[0]}', column 's0' is not a number"):
        read_header(tmp_path / "a.csv")


def test_line_of_another_length(tmp_path):
    path = write_table(tmp_path / "a.csv")
    path.write_text(path.read_text() + "s99,1,2\n")
    with pytest.raises(
        InputError, match=r"a\.csv, line 42 \('s99'\): holds 2 values, .*12 columns; correct the line"
    ):
        read_all(read_header(path), tmp_path)


def test_header_of_another_length(tmp_path):
    (tmp_path / "a.csv").write_text("ENSG00000000001\ns1,1,2,3\n")
    with pytest.raises(InputError, match=r"a\.csv: the header names .* Export it so"):
        read_header(tmp_path / "a.csv")


def test_cut_off_gzip(tmp_path):
    path = write_table(tmp_path / "a.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a\.csv\.gz: cannot be read, it is broken"):
        read_header(path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b""), ("a.csv", b"\n"), ("a.csv.gz", gzip.compress(b"", mtime=0))]
)
def test_empty_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"empty; copy or"):
        read_header(tmp_path / name)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
@pytest.mark.parametrize("start", [BD, FEATURECOUNTS, "\n\n", "sep=,\n", "\ufeff# x\n", "# a, b\r\n\r\n"])
def test_comments_before_the_header(tmp_path, genes_as_rows, max_bytes, start):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    path.write_text(start + path.read_text(), encoding="utf-8")
    header = read_header(path)
    counts, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS
    n_comments = sum(line.lstrip("\ufeff").startswith("#") for line in start.splitlines())
    assert [warning.partition(" ")[0] for warning in header.warnings] == [str(n_comments)] * (n_comments > 0)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("corner", [True, False])
@pytest.mark.parametrize("blanks", [" ", "   "])
def test_blanks_between_fields(tmp_path, genes_as_rows, max_bytes, quote, corner, blanks):
    """As R's write.table writes them, and aligned ones."""
    rows, columns, values = (
        (GENES, CELLS, make_counts().T) if genes_as_rows else (CELLS, GENES, make_counts())
    )
    lines = [[f"{quote}{name}{quote}" for name in (["x", *columns] if corner else columns)]]
    lines += [[f"{quote}{name}{quote}", *map(str, own)] for name, own in zip(rows, values, strict=True)]
    aligned = blanks if len(blanks) > 1 else ""
    (tmp_path / "a.txt").write_text("".join(f"{aligned}{blanks.join(line)}{aligned}\n" for line in lines))
    header = read_header(tmp_path / "a.txt")
    counts, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS
    assert "blanks" in header.warnings[0]


def test_names_with_blanks_are_kept(tmp_path):
    (tmp_path / "a.txt").write_text('"a  1" "b 2"\n"RPL3" 1  2\n"RPS6" 3 4\n')
    counts, names, _, _ = read_all(read_header(tmp_path / "a.txt"), tmp_path)
    assert list(names) == ["a  1", "b 2"]
    assert np.array_equal(counts, [[1, 3], [2, 4]])


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("in_header", "n"), [(True, 1), (False, 1), (True, 3)])
def test_delimiters_at_the_ends_of_lines(tmp_path, genes_as_rows, max_bytes, end, in_header, n):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, header="corner")
    first, *rest = path.read_text().splitlines()
    text = end.join([first + "," * n * in_header, *(line + "," * n for line in rest), ""])
    path.write_bytes(text.encode())
    header = read_header(path)
    assert header.warnings == []
    counts, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("n", [0, 2])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
def test_lines_and_columns_that_excel_added(tmp_path, genes_as_rows, end, n, max_bytes):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    lines = path.read_text().splitlines()
    empty = "," * lines[0].count(",")
    lines = [line + "," * n for line in (f"# a comment{empty}", *lines[:4], empty, *lines[4:], empty, empty)]
    path.write_bytes("".join(line + end for line in lines).encode())
    counts, names, _, _ = read_all(read_header(path), tmp_path, max_bytes)
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS


def test_a_table_that_is_not_split(tmp_path):
    (tmp_path / "a.txt").write_text("gene|a|b\nRPL3|1|2\n")
    with pytest.raises(InputError, match=r"its header, 'gene\|a\|b', could not be split; separate"):
        read_header(tmp_path / "a.txt")


def test_rows_that_pandas_numbered(tmp_path):
    frame = pd.DataFrame(make_counts().T, columns=CELLS)
    frame.insert(0, "gene", GENES)
    frame.to_csv(tmp_path / "a.csv")
    header = read_header(tmp_path / "a.csv")
    assert list(header.var["gene"]) == GENES
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts())
    frame = pd.DataFrame(make_counts(), columns=GENES)
    frame.insert(0, "cell", [f"{'ACGT' * 4}-{number}" for number in range(40)])
    frame.to_csv(tmp_path / "b.csv")
    with pytest.raises(InputError, match=r"line 2: '(ACGT){4}-0' in row '0', column 'cell' is not a number"):
        read_header(tmp_path / "b.csv")


def test_quotes_in_names(tmp_path):
    cells = [f'a "{name}"' for name in CELLS]
    path = write_table(tmp_path / "a.csv", quoting=1, cells=cells)
    counts, names, _, _ = read_all(read_header(path), tmp_path)
    assert np.array_equal(counts, make_counts())
    assert list(names) == cells


def test_an_empty_column_with_a_name_is_one_of_missing_values(tmp_path):
    (tmp_path / "a.csv").write_text("gene,a1,a2\nRPL3,1,\nRPS6,2,\n")
    with pytest.raises(InputError, match=r"line 2: no value \(''\) in row 'RPL3', column 'a2'"):
        read_header(tmp_path / "a.csv")


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("modality", ["rna", "cytometry"])
def test_tables_without_a_header(tmp_path, genes_as_rows, modality):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(InputError, match=r"a\.csv, line 1: holds numbers .* the table has no header; put"):
        read_header(path, modality=modality)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("cells", [range(40), range(1, 41), [7, 3, *range(100, 138)]])
@pytest.mark.parametrize("header", ["pandas", "R", "corner"])
def test_cells_called_by_numbers(tmp_path, genes_as_rows, cells, header):
    cells = [str(cell) for cell in cells]
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, cells=cells, header=header)
    counts, names, _, _ = read_all(read_header(path), tmp_path)
    assert list(names) == cells
    assert np.array_equal(counts, make_counts())


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("ending", [".txt", ".txt.gz"])
def test_other_encodings(tmp_path, genes_as_rows, encoding, ending):
    """Excel's "Unicode text" is UTF-16 with a mark; R's fileEncoding writes none."""
    cells = [f"zelle_ä{number}" for number in range(40)]
    text = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, cells=cells).read_text()
    packed = text.replace(",", "\t").replace("\n", "\r\n").encode(encoding)
    path = tmp_path / f"b{ending}"
    path.write_bytes(gzip.compress(packed) if ending.endswith("gz") else packed)
    counts, names, _, _ = read_all(read_header(path), tmp_path, 500)
    assert np.array_equal(counts, make_counts())
    assert list(names) == cells


def test_lines_of_old_macs(tmp_path):
    path = write_table(tmp_path / "a.csv")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_counts())


@pytest.mark.parametrize(
    ("encoding", "letter", "told"),
    [("latin1", "é", "Latin-1; .*`iconv -f latin1"), ("cp1252", "Š", "Windows-1252; .*iconv -f cp1252")],
)
@pytest.mark.parametrize("genes_as_rows", [True, False])
def test_latin_1_is_refused_with_the_command(tmp_path, encoding, letter, told, genes_as_rows):
    cells = [*CELLS[:-1], f"s{letter}39"]
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows, cells=cells)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    line = 1 if genes_as_rows else 41
    with pytest.raises(
        InputError, match=rf"a\.csv, line {line}: 's{letter}39' is not UTF-8 .*{told} -t utf-8"
    ):
        read_all(read_header(path), tmp_path)


# --- columns of genes × cells tables that are no cells --------------------------------------------------


def with_columns(path, columns, *, at=0, cells=CELLS, sep="\t"):
    """A genes × cells table with further columns, at a position after the names."""
    frame = pd.DataFrame(make_counts().T, index=GENES, columns=cells)
    for name, values in columns.items():
        frame.insert(at, name, values)
        at += 1
    frame.to_csv(path, sep=sep)
    return path


FURTHER = {
    "Length": 1000,
    "gene_length": range(500, 512),
    "EntrezID": range(7000, 7012),
    "entrezgene_id": range(7000, 7012),
    "start": range(10**6, 10**6 + 12),
    "End": range(10**6, 10**6 + 12),
    "Chr": ["1", "X", "2"] * 4,
    "chromosome_name": range(1, 13),
    "Strand": ["+", "-"] * 6,
    "GC_content": [0.41, 0.5] * 6,
    "n_cells": range(12),
    "total": range(12),
    "gene_name": [f"RPL{number}" for number in range(12)],
    "description": ['a, "b" c', "x\ty"] * 6,
}


@pytest.mark.parametrize("name", FURTHER)
@pytest.mark.parametrize("at", [0, 40])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
@pytest.mark.parametrize("cells", [CELLS, [str(number) for number in range(40)]])
def test_a_column_that_is_no_cell(tmp_path, name, at, max_bytes, cells):
    is_text = isinstance(FURTHER[name], list) and isinstance(FURTHER[name][0], str)
    if at and is_text:
        return
    path = with_columns(tmp_path / "a.tsv", {name: FURTHER[name]}, at=at, cells=cells)
    header = read_header(path)
    assert header.n_cells == 40
    assert f"{name}; if they are, set datasets.blood.not_cells to []" in header.warnings[0]
    counts, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert list(names) == cells
    assert np.array_equal(counts, make_counts())


def test_text_beside_the_names_of_genes_is_kept(tmp_path):
    columns = {"symbol": FURTHER["gene_name"], "about": FURTHER["description"], "Length": 7}
    header = read_header(with_columns(tmp_path / "a.csv", columns, sep=","))
    assert list(header.var["symbol"]) == FURTHER["gene_name"]
    assert list(header.var["about"]) == FURTHER["description"]
    assert list(header.var.columns) == ["symbol", "about"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts())


def test_featurecounts(tmp_path):
    exons = {"Chr": "1;1", "Start": "11869;12010", "End": "12227;12057", "Strand": "+;+", "Length": 1735}
    cells = [f"/data/s{number}.bam" for number in range(40)]
    path = with_columns(tmp_path / "a.txt", exons, cells=cells)
    path.write_text(FEATURECOUNTS + "Geneid" + path.read_text())
    header = read_header(path)
    counts, names, _, _ = read_all(header, tmp_path, 500)
    assert list(names) == cells
    assert np.array_equal(counts, make_counts())
    assert "Chr, Start, End, Strand, Length" in header.warnings[1]


@pytest.mark.parametrize("cells", [CELLS, ["tumor", "normal", *[f"abc{chr(97 + n)}" for n in range(38)]]])
def test_the_configuration_says_what_is_no_cell(tmp_path, cells):
    path = with_columns(tmp_path / "a.tsv", {"kb": 7, "total": 3}, cells=cells)
    counts, names, _, _ = read_all(read_header(path, not_cells=["kb", "total"]), tmp_path)
    assert list(names) == cells
    assert np.array_equal(counts, make_counts())
    assert read_header(path, not_cells=[]).n_cells == 42
    assert read_header(path, not_cells=["kb"]).n_cells == 41
    with pytest.raises(InputError, match=r"not_cells names 'Length', and no column .*it has: kb, total, "):
        read_header(path, not_cells=["Length"])


def test_columns_that_may_be_cells_are_asked_for(tmp_path):
    cells = ["tumor", "normal", *[f"abc{chr(97 + n)}" for n in range(38)]]
    path = with_columns(tmp_path / "a.tsv", {"total": 3}, cells=cells)
    with pytest.raises(InputError, match=r"cannot tell whether total are cells .*blood\.not_cells"):
        read_header(path)
    path = with_columns(tmp_path / "a.tsv", {"kb": 900}, cells=CELLS)
    with pytest.raises(InputError, match=r"'kb' holds values such as 900 and 900, .*not_cells to \[kb\]"):
        read_header(path)
    path = with_columns(tmp_path / "a.tsv", {"V1": range(100, 112)}, cells=[f"V{n}" for n in range(2, 42)])
    with pytest.raises(InputError, match=r"column 'V1' holds"):
        read_header(path)
    assert read_header(with_columns(tmp_path / "a.tsv", {"bulk": 5}, cells=CELLS)).n_cells == 41


def test_genes_called_as_such_columns_are(tmp_path):
    """Where rows are cells, columns are genes, and what else is there is no concern."""
    genes = [*GENES[:-2], "total", "Length"]
    path = write_table(tmp_path / "a.csv", genes=genes)
    assert list(read_header(path).var.index) == list(read_header(path, not_cells=[]).var.index) == genes
    with pytest.raises(InputError, match=r"not_cells is \['Length'\], and the table's rows are the cells"):
        read_header(path, not_cells=["Length"])


def test_header_and_no_rows(tmp_path):
    (tmp_path / "a.csv").write_text("," + ",".join(GENES) + "\n")
    header = read_header(tmp_path / "a.csv")
    assert (header.n_cells, header.n_genes) == (0, 12)


def test_unknown_format(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"hello\0\0")
    with pytest.raises(
        InputError, match=r"a\.tar: .*not recognised; set datasets\.blood\.format to one of .*h5ad"
    ):
        read_header(tmp_path / "a.tar")
    (tmp_path / "a.h5ad").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"a\.h5ad: is not an HDF5 file in spite of its name"):
        read_header(tmp_path / "a.h5ad")


@pytest.mark.parametrize(
    ("path", "genes_as_rows"),
    [
        ("formats/csv/test_small.csv", False),
        ("formats/csv/test_small.tsv", False),
        ("formats/csv/test_small_duplicate_gene_names.csv", False),
        ("cellmix/sc_celseq2_5cl_p1.count.csv.gz", True),
    ],
)
def test_real_tables_as_pandas_reads_them(test_data, tmp_path, path, genes_as_rows):
    header = read_header(test_data / path)
    counts, names, _, _ = read_all(header, tmp_path, 300_000)
    frame = pd.read_csv(test_data / path, index_col=0, sep="\t" if path.endswith("tsv") else ",")
    frame = frame.T if genes_as_rows else frame
    assert np.array_equal(counts, frame.to_numpy())
    assert list(names) == list(frame.index)
    if "duplicate" in path:
        assert header.var.index.duplicated().sum() > 0
    else:
        assert list(header.var.index) == list(frame.columns)


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
@pytest.mark.parametrize("write", ["{}.000", "{}e0", '"{}"', "+{}", " {}", "{}.00000000000000000"])
def test_numbers_that_are_written_otherwise(tmp_path, genes_as_rows, max_bytes, write):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    lines = path.read_text().splitlines()
    for line in (3, 7):
        name, *values = lines[line].split(",")
        lines[line] = ",".join([name, *map(write.format, values)])
    path.write_text("\n".join(lines))
    assert np.array_equal(read_all(read_header(path), tmp_path, max_bytes)[0], make_counts())


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [True, False])
def test_empty_lines_and_no_end_of_the_last(tmp_path, genes_as_rows, end, packed):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    text = path.read_text().rstrip().replace("\n", end * 2).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    for max_bytes in (400, 10**6):
        counts, _, _, _ = read_all(read_header(path), tmp_path, max_bytes)
        assert np.array_equal(counts, make_counts())


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("lines", [-1, 1])
def test_table_that_changes_while_it_is_read(tmp_path, genes_as_rows, lines):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    header = read_header(path)
    text = path.read_text().splitlines()
    path.write_text("\n".join(text[:lines] if lines < 0 else [*text, text[-1]]) + "\n")
    found = "more than the" if lines > 0 else r"\d+ rows instead of the"
    with pytest.raises(
        InputError, match=rf"a\.csv: holds {found} \d+ rows .*changed while it was read; start"
    ):
        read_all(header, tmp_path)
    assert not list(tmp_path.glob("buckets_*"))


def test_table_that_is_still_empty_when_its_header_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("ENSG00000000001\n")
    header = read_header(tmp_path / "a.csv", orientation="cells")
    assert (header.n_cells, header.n_genes) == (0, 0)
    (tmp_path / "a.csv").write_text("ENSG00000000001\ns1,1\n")
    with pytest.raises(InputError, match=r"line 2 \('s1'\): holds 1 values, and the header names 0"):
        read_all(header, tmp_path)


def test_gzip_that_is_cut_off_after_its_header_was_read(tmp_path):
    path = write_table(tmp_path / "a.csv.gz")
    header = read_header(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a\.csv\.gz: cannot be read, it is broken"):
        read_all(header, tmp_path)


@pytest.mark.parametrize("n_judged", [1, 5, 5000])
def test_many_names_are_judged_by_the_first_ones(tmp_path, monkeypatch, n_judged):
    monkeypatch.setattr("cellferry.formats.table.NAMES_TO_JUDGE", n_judged)
    monkeypatch.setattr("cellferry.formats.table.GLANCE_BYTES", 200)
    for genes_as_rows in (True, False):
        path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
        counts, names, _, _ = read_all(read_header(path), tmp_path)
        assert np.array_equal(counts, make_counts())
        assert list(names) == CELLS


OBS = "cell,ct,age,mixed\ns1,B,3,1\ns0,NA,,x\ns7,nan,1.5,\n"


@pytest.mark.parametrize("name", ["obs.csv", "obs.csv.gz"])
@pytest.mark.parametrize("r_style", [True, False])
def test_obs_table(tmp_path, name, r_style):
    text = OBS.removeprefix("cell,") if r_style else OBS
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = ObsTable(tmp_path / name, "datasets.blood.obs")
    assert table.columns == ["ct", "age", "mixed"]
    table.load(["ct", "age", "mixed"], numeric={"age", "mixed"})
    found = table.join(np.array(["s0", "s1", "s2", "s7"], dtype=object), ["ct", "age", "mixed"])
    assert list(found["ct"]) == [None, "B", None, "nan"]
    assert np.array_equal(found["age"], [np.nan, 3, np.nan, 1.5], equal_nan=True)
    assert list(found["mixed"]) == ["x", "1", None, None]
    assert table.n_matched == 3


def test_obs_table_keeps_ids_as_they_are_written(tmp_path):
    (tmp_path / "obs.csv").write_text("cell,donor\na,001\nb,01\nc,1\nd,12345678901234567\n")
    table = ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")
    table.load(["donor"])
    found = table.join(np.array(["a", "b", "c", "d"], dtype=object), ["donor"])["donor"]
    assert list(found) == ["001", "01", "1", "12345678901234567"]


def test_obs_table_in_several_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.datasets.obs_table.ROWS_AT_ONCE", 2)
    (tmp_path / "obs.csv").write_text(OBS)
    table = ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")
    table.load(["mixed", "ct"])
    assert list(table.join(np.array(["s7", "s1"], dtype=object), ["ct"])["ct"]) == ["nan", "B"]


def test_obs_table_that_names_a_cell_twice(tmp_path):
    (tmp_path / "obs.csv").write_text(OBS + "s1,T,2,\n")
    with pytest.raises(
        InputError, match=r"obs\.csv \(datasets\.blood\.obs\): the cell 's1' has more than one row"
    ):
        ObsTable(tmp_path / "obs.csv", "datasets.blood.obs").load(["ct"])


def test_obs_table_that_is_broken(tmp_path):
    (tmp_path / "obs.csv").write_text("")
    with pytest.raises(InputError, match="the table is empty; name another or remove the key"):
        ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")
    (tmp_path / "a.csv").write_text(OBS + "s8,T,2,3,4,5\n")
    with pytest.raises(InputError, match=r"a\.csv \(datasets\.blood\.obs\): is not a regular table"):
        ObsTable(tmp_path / "a.csv", "datasets.blood.obs").load(["ct"])
    packed = gzip.compress((OBS + "".join(f"c{i},T,{i},\n" for i in range(5000))).encode())
    (tmp_path / "b.csv.gz").write_bytes(packed[:-100])
    with pytest.raises(InputError, match=r"b\.csv\.gz: cannot be read"):
        ObsTable(tmp_path / "b.csv.gz", "datasets.blood.obs").load(["ct"])


def test_a_missing_last_value_is_a_missing_value(tmp_path):
    (tmp_path / "a.csv").write_text("cell,G1,G2,G3\nc1,0,1,2\nc2,1,2,")
    with pytest.raises(InputError, match=r"line 3: no value .* row 'c2', column 'G3'"):
        read_header(tmp_path / "a.csv", orientation="cells")


# --- tables of cytometry, which mostly have no names of events ------------------------------------------

CHANNELS = ["Time", "CD3", "HLA-DR", "FSC-A", "CD19"]


def make_events(n_events=60):
    values = np.random.default_rng(0).normal(100, 300, (n_events, len(CHANNELS))).round(3).astype(np.float32)
    values[::7, 1] = 0
    return values


def write_events(path, values, *, end="\n", last="\n", header=None):
    lines = [header or ",".join(CHANNELS), *(",".join(map(repr, map(float, row))) for row in values)]
    text = end.join(lines) + last
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"end": "\r\n", "last": "\r\n"},
        {"end": "\r\n", "last": ""},
        {"last": ""},
        {"last": "\n\n\n"},
        {"end": "\r\n", "last": "\r\n\r\n"},
        {"end": "\n\n"},
        {"header": '"Time","CD3","HLA-DR","FSC-A","CD19"'},
        {"header": "\ufeffTime,CD3,HLA-DR,FSC-A,CD19"},
    ],
)
@pytest.mark.parametrize(("max_bytes", "glance"), [(10**6, 1 << 20), (700, 1 << 20), (700, 50), (10**6, 1)])
def test_a_table_without_names_of_events(tmp_path, monkeypatch, how, max_bytes, glance):
    monkeypatch.setattr("cellferry.formats.table.GLANCE_BYTES", glance)
    values = make_events()
    header = read_header(write_events(tmp_path / "a.csv", values, **how), modality="cytometry")
    assert (header.n_cells, header.n_genes, header.in_order) == (60, 5, True)
    assert list(header.var.index) == CHANNELS
    assert list(header.var["kind"]) == ["time", "marker", "marker", "scatter", "marker"]
    found, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(found, values)
    assert list(names) == [f"event{number}" for number in range(1, 61)]


def test_a_packed_table_without_names(tmp_path):
    header = read_header(write_events(tmp_path / "a.csv.gz", make_events()), modality="cytometry")
    assert np.array_equal(read_all(header, tmp_path)[0], make_events())


@pytest.mark.parametrize(
    "called", ["", "cell", "cell_id", "Cell ID", "event", "barcode", "index", "event_id"]
)
@pytest.mark.parametrize("names", [["1", "2", "3"], ["a", "b", "c"]])
def test_a_table_with_names_of_events(tmp_path, called, names):
    lines = [f"{called},CD3,CD4", *(f"{name},1.5,-2" for name in names)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    header = read_header(tmp_path / "a.csv", modality="cytometry")
    assert list(header.var.index) == ["CD3", "CD4"]
    assert list(read_all(header, tmp_path)[1]) == names


def test_names_under_a_name_that_is_none_and_names_that_r_wrote(tmp_path):
    (tmp_path / "a.csv").write_text("sample,CD3,CD4\nx1,1.5,-2\nx2,1,2\n")
    header = read_header(tmp_path / "a.csv", modality="cytometry")
    assert list(header.var.index) == ["CD3", "CD4"]
    (tmp_path / "r.csv").write_text('"CD3","CD4"\n"1",1.5,-2\n"2",1,2\n')
    header = read_header(tmp_path / "r.csv", modality="cytometry")
    assert list(header.var.index) == ["CD3", "CD4"]
    found, names, _, _ = read_all(header, tmp_path)
    assert list(names) == ["1", "2"]
    assert np.array_equal(found, np.array([[1.5, -2], [1, 2]], dtype=np.float32))


def test_counts_of_genes_are_read_as_before(tmp_path):
    """A first column of numbers holds names where the modality is not cytometry."""
    path = write_events(tmp_path / "a.csv", make_events(3), header="RPL1,RPL2,RPL3,RPL4,RPL5")
    assert read_header(path, orientation="cells").n_genes == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2,3", r"a\.csv, line 4: holds 3 values, and the header names 5 columns"),
        ("1,2,3,4,5,6", r"a\.csv, line 4: holds 6 values, and the header names 5 columns"),
        ("1,2,x,4,5", r"a\.csv, line 4: 'x' in column 'HLA-DR' is not a number"),
    ],
)
def test_broken_lines_of_a_table_without_names(tmp_path, line, said):
    path = write_events(tmp_path / "a.csv", make_events(2), last=f"\n{line}\n")
    with pytest.raises(InputError, match=said):
        read_header(path, modality="cytometry")


def test_a_table_of_channels_without_events(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(CHANNELS) + "\n")
    assert read_header(tmp_path / "a.csv", modality="cytometry").n_cells == 0


def test_missing_values_of_a_table_without_names(tmp_path):
    path = write_events(tmp_path / "a.csv", make_events(2), last="\n,NA,NaN,4,\n")
    found = read_all(read_header(path, modality="cytometry"), tmp_path)[0]
    assert np.array_equal(np.isnan(found[2]), [True, True, True, False, True])


# --- annotation by order --------------------------------------------------------------------------------


def by_order(path, columns, numeric=frozenset()):
    table = ObsTable(path, "datasets.blood.obs", by_order=True)
    table.load(columns, numeric=numeric)
    return table


def test_obs_table_by_order(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.datasets.obs_table.ROWS_AT_ONCE", 2)
    (tmp_path / "obs.csv").write_text(OBS + "s1,T,2,\n")  # a name twice does not matter
    table = by_order(tmp_path / "obs.csv", ["cell", "ct", "age"], {"age"})
    assert table.columns == ["cell", "ct", "age", "mixed"]
    assert table.n_rows == 4
    found = table.lines(0, 4, ["cell", "ct", "age"])
    assert list(found["cell"]) == ["s1", "s0", "s7", "s1"]
    assert list(found["ct"]) == ["B", None, "nan", "T"]
    assert np.array_equal(found["age"], [3, np.nan, 1.5, 2], equal_nan=True)
    assert list(table.lines(1, 3, ["ct"])["ct"]) == [None, "nan"]
    assert list(table.lines(2, 2, ["ct"])["ct"]) == []
    table.load(["ct"])
    assert table.n_rows == 4


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_column_of_labels_alone(tmp_path, end):
    """An empty line is an event without a label."""
    (tmp_path / "obs.csv").write_bytes(
        end.join(["population", "B cell", "", '"T, naive"', "B cell", ""]).encode()
    )
    table = by_order(tmp_path / "obs.csv", ["population"])
    assert table.n_rows == 4
    assert list(table.lines(0, 4, ["population"])["population"]) == ["B cell", None, "T, naive", "B cell"]


def test_labels_that_r_wrote_by_order(tmp_path):
    (tmp_path / "obs.csv").write_text('"population"\n"1","B"\n"2","T"\n')
    table = by_order(tmp_path / "obs.csv", ["population"])
    assert table.columns == ["population"]
    assert list(table.lines(0, 2, ["population"])["population"]) == ["B", "T"]
