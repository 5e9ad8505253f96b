"""Raw counts: accepted, or refused with the wrong values and a remedy."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cellferry.datasets.raw_counts import SmallestValues, Source, check_counts, gene_totals, preview_problem
from cellferry.errors import InputError
from scipy import sparse

SOURCE = Source(
    Path("blood.h5ad"), "X", "datasets.blood.counts", {"X": False, "raw": True, "layers/a": False}
)
NAMES = np.array(["c0", "c1", "c2"], dtype=object)
GENES = pd.Index(["G0", "G1", "G2"])


def matrix(values):
    return sparse.csr_matrix(np.array(values, dtype=np.float32))


def test_counts_pass():
    check_counts(matrix([[0, 1, 2], [0, 0, 0], [3000, 0, 1]]), NAMES, GENES, SOURCE)
    check_counts(sparse.csr_matrix((0, 3), dtype=np.float32), NAMES[:0], GENES, SOURCE)


@pytest.mark.parametrize(
    ("wrong", "diagnosis"),
    [(-1.5, "scaling"), (0.5, "log-normalized"), (np.nan, "missing"), (np.inf, "infinite")],
)
def test_wrong_values_are_named(wrong, diagnosis):
    counts = matrix([[0, 1, 2], [0, 0, 0], [3, 0, wrong]])
    with pytest.raises(InputError) as raised:
        check_counts(counts, NAMES, GENES, SOURCE)
    message = str(raised.value)
    for part in ("blood.h5ad: X does", f"{wrong:g} in cell 'c2', gene 'G2'", diagnosis):
        assert part in message
    assert "set datasets.blood.counts to raw" in message
    assert diagnosis in preview_problem(counts.data, SOURCE)


@pytest.mark.parametrize(("wrong", "said"), [(0.5, "0.5 in cell 'c2', gene 'G2'"), (2, "nan in cell 'c0'")])
def test_missing_counts_are_counted(wrong, said):
    alone = Source(Path("a.csv"), "matrix", None, {"matrix": False})
    with pytest.raises(InputError) as raised:
        check_counts(matrix([[0, np.nan, np.nan], [0, 0, 0], [3, 0, wrong]]), NAMES, GENES, alone)
    message = str(raised.value)
    assert said in message
    assert "values are missing (NaN), 2 of those checked" in message
    assert ("write 0 where nothing was counted" in message) == (wrong == 2)


def test_large_fractions_are_not_called_log_normalized():
    with pytest.raises(InputError, match="normalized, ambient-corrected or estimated"):
        check_counts(matrix([[0, 100.5, 2], [0, 0, 0], [3, 0, 1]]), NAMES, GENES, SOURCE)


def test_remedy_where_nothing_else_looks_right():
    alone = Source(Path("a.csv"), "matrix", None, {"matrix": False})
    with pytest.raises(InputError, match="raw counts are needed: export the file with them"):
        check_counts(matrix([[0.5, 0, 0]]), NAMES, GENES, alone)
    others = Source(Path("a.h5ad"), "X", "datasets.a.counts", {"X": False, "raw": False})
    with pytest.raises(InputError, match=r"no other place of the file has them: raw"):
        check_counts(matrix([[0.5, 0, 0]]), NAMES, GENES, others)


def test_corrected_counts_are_told_of_rounding():
    corrected = matrix(np.random.default_rng(0).poisson(2, (3, 3)) * 0.9 + 30.3)
    source = Source(Path("a.h5ad"), "X", None, {"X": False}, rounding_key="datasets.a.counts_rounding")
    way_out = r"as SoupX writes them, set datasets\.a\.counts_rounding: nearest$"
    with pytest.raises(InputError, match=way_out):
        check_counts(corrected, NAMES, GENES, source)
    assert re.search(way_out, preview_problem(corrected.data, source))
    # Counts elsewhere are better; values that are wrong in another way than fractional are not rounded.
    better = replace(source, others={"X": False, "raw": True})
    assert "SoupX" not in preview_problem(corrected.data, better)
    for wrong in (-1, np.nan, np.inf):
        assert "SoupX" not in preview_problem(np.append(corrected.data, wrong), source)
        with pytest.raises(InputError, match="does not hold raw counts"):
            check_counts(matrix([[wrong, 30.5, 2]]), NAMES, GENES, replace(source, is_rounded=True))


def test_glance_of_counts():
    assert preview_problem(np.array([1, 2]), SOURCE) is None


def test_truncated_normalized_values_raise_a_doubt():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, size=(200, 300))
    raw = SmallestValues()
    raw.add(sparse.csr_matrix(counts.astype(np.float32)))
    assert raw.looked_at == 200
    assert raw.doubt(SOURCE) is None
    size = 1e4 / counts.sum(axis=1, keepdims=True)
    truncated = SmallestValues()
    truncated.add(sparse.csr_matrix(np.trunc(counts * size).astype(np.float32)))
    assert "datasets.blood.counts" in truncated.doubt(SOURCE)


def test_smallest_values_looks_at_long_rows_only():
    dense = np.zeros((4, 40), dtype=np.float32)
    dense[0, :30] = 5
    dense[1, :3] = 1  # too short to count, and between two long ones
    dense[3] = 2
    dense[3, 7] = 1
    smallest = SmallestValues()
    smallest.add(sparse.csr_matrix(dense))
    assert (smallest.looked_at, smallest.with_one) == (2, 1)


def test_gene_totals(monkeypatch):
    monkeypatch.setattr("cellferry.datasets.raw_counts.VALUES_AT_ONCE", 7)
    counts = sparse.random(50, 9, density=0.4, random_state=0, format="csr", dtype=np.float32)
    assert np.allclose(gene_totals(counts), counts.toarray().sum(axis=0))
