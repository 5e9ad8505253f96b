"""Text tables of counts: orientation, numbers, missing values, names of cells and genes."""

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from reading import read_all, read_header
from text_tables import CELLS, GENES, make_counts, write_table


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
    with pytest.raises(InputError, match=r"a\.csv: it is unclear .*set datasets\.blood\.orientation"):
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
    monkeypatch.setattr("cellferry.formats.table.PREVIEW_BYTES", 100)
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
    monkeypatch.setattr("cellferry.formats.table.PREVIEW_BYTES", glance)
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


def test_an_empty_column_with_a_name_is_one_of_missing_values(tmp_path):
    (tmp_path / "a.csv").write_text("gene,a1,a2\nRPL3,1,\nRPS6,2,\n")
    with pytest.raises(InputError, match=r"line 2: no value \(''\) in row 'RPL3', column 'a2'"):
        read_header(tmp_path / "a.csv")


@pytest.mark.parametrize("genes_as_rows", [True, False])
@pytest.mark.parametrize("modality", ["rna", "cytometry"])
def test_tables_without_a_header(tmp_path, genes_as_rows, modality):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(InputError, match=r"a\.csv, line 1: contains numbers .* the table has no header; add"):
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


def test_header_and_no_rows(tmp_path):
    (tmp_path / "a.csv").write_text("," + ",".join(GENES) + "\n")
    header = read_header(tmp_path / "a.csv")
    assert (header.n_cells, header.n_genes) == (0, 12)


def test_unknown_format(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"hello\0\0")
    with pytest.raises(
        InputError, match=r"a\.tar: .*not recognized; set datasets\.blood\.format to one of .*h5ad"
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
@pytest.mark.parametrize("lines", [-1, 1])
def test_table_that_changes_while_it_is_read(tmp_path, genes_as_rows, lines):
    path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
    header = read_header(path)
    text = path.read_text().splitlines()
    path.write_text("\n".join(text[:lines] if lines < 0 else [*text, text[-1]]) + "\n")
    found = "more than the" if lines > 0 else r"\d+ rows instead of the"
    with pytest.raises(
        InputError, match=rf"a\.csv: contains {found} \d+ rows .*changed while it was read; start"
    ):
        read_all(header, tmp_path)
    assert not list(tmp_path.glob("buckets_*"))


def test_table_that_is_still_empty_when_its_header_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("ENSG00000000001\n")
    header = read_header(tmp_path / "a.csv", orientation="cells")
    assert (header.n_cells, header.n_genes) == (0, 0)
    (tmp_path / "a.csv").write_text("ENSG00000000001\ns1,1\n")
    with pytest.raises(InputError, match=r"line 2 \('s1'\): has 1 values, but the header names 0"):
        read_all(header, tmp_path)


@pytest.mark.parametrize("n_judged", [1, 5, 5000])
def test_many_names_are_judged_by_the_first_ones(tmp_path, monkeypatch, n_judged):
    monkeypatch.setattr("cellferry.formats.table.NAMES_TO_JUDGE", n_judged)
    monkeypatch.setattr("cellferry.formats.table.PREVIEW_BYTES", 200)
    for genes_as_rows in (True, False):
        path = write_table(tmp_path / "a.csv", genes_as_rows=genes_as_rows)
        counts, names, _, _ = read_all(read_header(path), tmp_path)
        assert np.array_equal(counts, make_counts())
        assert list(names) == CELLS


def test_a_missing_last_value_is_a_missing_value(tmp_path):
    (tmp_path / "a.csv").write_text("cell,G1,G2,G3\nc1,0,1,2\nc2,1,2,")
    with pytest.raises(InputError, match=r"line 3: no value .* row 'c2', column 'G3'"):
        read_header(tmp_path / "a.csv", orientation="cells")
