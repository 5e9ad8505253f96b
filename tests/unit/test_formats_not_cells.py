"""Columns of a table of counts that are not cells: lengths, descriptions and other annotation of genes."""

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from reading import read_all, read_header
from text_tables import CELLS, FEATURECOUNTS, GENES, make_counts, write_table


def with_columns(path, columns, *, at=0, cells=CELLS, sep="\t"):
    """A genes × cells table with additional columns, at a position after the names."""
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
    assert f"{name}; if they are cells, set datasets.blood.not_cells to []" in header.warnings[0]
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
    with pytest.raises(
        InputError, match=r"not_cells names 'Length', which is not a column .*it has: kb, total, "
    ):
        read_header(path, not_cells=["Length"])


def test_columns_that_may_be_cells_are_asked_for(tmp_path):
    cells = ["tumor", "normal", *[f"abc{chr(97 + n)}" for n in range(38)]]
    path = with_columns(tmp_path / "a.tsv", {"total": 3}, cells=cells)
    with pytest.raises(InputError, match=r"it is unclear whether total are cells .*blood\.not_cells"):
        read_header(path)
    path = with_columns(tmp_path / "a.tsv", {"kb": 900}, cells=CELLS)
    with pytest.raises(InputError, match=r"'kb' has values such as 900 and 900, .*not_cells to \[kb\]"):
        read_header(path)
    path = with_columns(tmp_path / "a.tsv", {"V1": range(100, 112)}, cells=[f"V{n}" for n in range(2, 42)])
    with pytest.raises(InputError, match=r"column 'V1' has"):
        read_header(path)
    assert read_header(with_columns(tmp_path / "a.tsv", {"bulk": 5}, cells=CELLS)).n_cells == 41


def test_genes_called_as_such_columns_are(tmp_path):
    """If rows are cells, columns are genes and are not checked."""
    genes = [*GENES[:-2], "total", "Length"]
    path = write_table(tmp_path / "a.csv", genes=genes)
    assert list(read_header(path).var.index) == list(read_header(path, not_cells=[]).var.index) == genes
    with pytest.raises(InputError, match=r"not_cells is \['Length'\], but the table's rows are the cells"):
        read_header(path, not_cells=["Length"])
