"""Lines of a table of counts: quotes, delimiters, comments, encodings and line ends."""

import gzip

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from reading import read_all, read_header
from text_tables import CELLS, FEATURECOUNTS, GENES, make_counts, write_table

BD = """####################
## BD Targeted Multiplex Rhapsody Analysis Pipeline Version 1.9.1
## Run ID: 20-1, 20-2
## Sample: a
#
####################

"""


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


def test_line_of_another_length(tmp_path):
    path = write_table(tmp_path / "a.csv")
    path.write_text(path.read_text() + "s99,1,2\n")
    with pytest.raises(
        InputError, match=r"a\.csv, line 42 \('s99'\): has 2 values, .*12 columns; correct the line"
    ):
        read_all(read_header(path), tmp_path)


def test_header_of_another_length(tmp_path):
    (tmp_path / "a.csv").write_text("ENSG00000000001\ns1,1,2,3\n")
    with pytest.raises(InputError, match=r"a\.csv: the header names .* export a table with the row names"):
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


def test_quotes_in_names(tmp_path):
    cells = [f'a "{name}"' for name in CELLS]
    path = write_table(tmp_path / "a.csv", quoting=1, cells=cells)
    counts, names, _, _ = read_all(read_header(path), tmp_path)
    assert np.array_equal(counts, make_counts())
    assert list(names) == cells


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("ending", [".txt", ".txt.gz"])
def test_other_encodings(tmp_path, genes_as_rows, encoding, ending):
    """Excel's "Unicode text" is UTF-16 with a byte-order mark; R's fileEncoding writes no mark."""
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


def test_gzip_that_is_cut_off_after_its_header_was_read(tmp_path):
    path = write_table(tmp_path / "a.csv.gz")
    header = read_header(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a\.csv\.gz: cannot be read, it is broken"):
        read_all(header, tmp_path)
