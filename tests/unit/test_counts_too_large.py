"""Numbers that are too large for counts: refused with their place, or a warning, in every format."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cellferry import formats
from cellferry.datasets.raw_counts import (
    LargestCount,
    Source,
    check_counts,
    preview_problem,
)
from cellferry.errors import InputError
from reading import read_header
from scipy import sparse
from sparse_files import FORMATS, make_counts
from tenx_files import write_mtx

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
LIMIT = 2**24
TOO_LARGE = [LIMIT + 1, LIMIT + 2, 2**32 - 1, 2**64 - 1, 1e30]


def checked(path, scratch):
    """Message of `check_counts` for a file, or an empty string."""
    header = read_header(path)
    try:
        for block in formats.blocks(header, [], 10**6, scratch):
            check_counts(block.counts, block.names, header.var.index, Source.of(header))
    except InputError as error:
        return str(error)
    return ""


def with_value(value, dtype):
    def change(values):
        values = values.astype(dtype)
        values[5] = value
        return values

    return {"data": change}


def place(name):
    """Cell and gene of the changed value."""
    storage = sparse.csc_matrix if name.endswith("CSC") else sparse.csr_matrix
    matrix = storage(make_counts())
    matrix.data[:] = np.arange(1, matrix.nnz + 1)
    cell, gene = np.argwhere(matrix.toarray() == 6)[0]
    return f"in cell 'ACGTACGTACGTACGT{cell}-1', gene 'ENSG{gene:011d}'"


@pytest.mark.parametrize("value", TOO_LARGE)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format(tmp_path, name, value):
    dtype = np.uint64 if isinstance(value, int) and name not in ("rds", "BPCells", "10x h5") else np.float64
    path = FORMATS[name](tmp_path, with_value(value, dtype))
    said = checked(path, tmp_path / "scratch")
    assert path.name in said
    assert place(name) in said
    assert "numbers above 16,777,216 are not counts" in said
    assert "counts_rounding" not in said


@pytest.mark.parametrize("name", FORMATS)
def test_the_largest_count(tmp_path, name):
    assert checked(FORMATS[name](tmp_path, with_value(LIMIT, np.float64)), tmp_path / "scratch") == ""


@pytest.mark.parametrize("value", ["16777217", "4294967295", "18446744073709551615", "1e30"])
def test_mtx(tmp_path, value):
    write_mtx(tmp_path / "a", ending="")
    path = tmp_path / "a" / "matrix.mtx"
    lines = path.read_text().split("\n")
    lines[7] = f"{lines[7].rsplit(' ', 1)[0]} {value}"
    path.write_text("\n".join(lines).replace(" integer ", " real "))
    assert "numbers above 16,777,216 are not counts" in checked(tmp_path / "a", tmp_path / "scratch")
    path.write_text(path.read_text().replace(value, "16777216"))
    assert checked(tmp_path / "a", tmp_path / "scratch") == ""


@pytest.mark.parametrize(("value", "is_said"), [("16777217", True), ("1e30", True), ("16777216", False)])
def test_tables(tmp_path, value, is_said):
    counts = pd.DataFrame(make_counts().astype(int).astype(str))
    counts.index = [f"{'ACGT' * 4}{i}-1" for i in range(len(counts))]
    counts.columns = [f"ENSG{i:011d}" for i in range(counts.shape[1])]
    counts.iloc[3, 4] = value
    counts.to_csv(tmp_path / "a.csv")
    said = checked(tmp_path / "a.csv", tmp_path / "scratch")
    assert ("gene 'ENSG00000000004'; numbers above 16,777,216 are not counts" in said) == is_said


SOURCE = Source(Path("a.h5ad"), "X", None, {"X": True})


def test_values_of_a_header():
    for value in TOO_LARGE[1:]:
        said = preview_problem(np.array([1, value], dtype=np.float64), SOURCE)
        assert "numbers above 16,777,216 are not counts" in said
    assert preview_problem(np.array([1, 2**64 - 1], dtype=np.uint64), SOURCE)
    assert preview_problem(np.array([1, LIMIT]), SOURCE) is None


@pytest.mark.parametrize(("value", "is_told"), [(10**6, False), (10**6 + 1, True), (LIMIT, True)])
def test_a_large_count_is_told_with_its_place(value, is_told):
    counts = sparse.csr_matrix(np.array([[1, 0, 2], [0, 0, value], [3, 0, 0]], dtype=np.float32))
    largest = LargestCount()
    largest.add(counts, np.array(["a", "b", "c"]), pd.Index(["g", "h", "i"]))
    largest.add(counts[2:], np.array(["c"]), pd.Index(["g", "h", "i"]))
    told = largest.doubt(SOURCE)
    assert (told is not None) == is_told
    if is_told:
        assert f"a.h5ad: X holds {value:,} in cell 'b', gene 'i'" in told


def test_intensities_may_be_any_numbers():
    intensities = Source(Path("a.csv"), "matrix", None, {}, values="intensities")
    values = sparse.csr_matrix(np.array([[1e30, -3.0]], dtype=np.float32))
    check_counts(values, np.array(["a"]), pd.Index(["CD4", "CD8"]), intensities)
    largest = LargestCount()
    largest.add(values, np.array(["a"]), pd.Index(["CD4", "CD8"]))
    assert largest.doubt(intensities) is None
