"""Files of marker values: rows read block by block, and the kind of their content."""

import numpy as np
import pytest
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.features.marker_values import holds_intensities, marker_values
from mapped import TELLTALE, counts_at, values_at, write_expression


@pytest.fixture
def cells(tmp_path):
    path = write_expression(tmp_path / "values.h5ad", values_at([0, 1, 2] * 50), markers=True)
    with H5adReader(path) as reader:
        yield reader


def test_a_file_says_what_it_holds(cells, tmp_path):
    assert holds_intensities(cells)
    path = write_expression(tmp_path / "counts.h5ad", counts_at([0, 1]), markers=False)
    with H5adReader(path) as counts:
        assert not holds_intensities(counts)


@pytest.mark.parametrize("max_bytes", [1, 5_000, 1 << 25])
def test_rows_are_read_whatever_the_blocks(cells, monkeypatch, max_bytes):
    monkeypatch.setattr("cellferry.features.marker_values.BLOCK_BYTES", max_bytes)
    expected = values_at([0, 1, 2] * 50).toarray()
    expected[:, TELLTALE] = 0
    for rows in (np.arange(150), np.array([0, 1, 77, 149]), np.array([], dtype=int)):
        found = marker_values(cells, rows)
        assert found.dtype == np.float32
        assert np.array_equal(found, expected[rows])
