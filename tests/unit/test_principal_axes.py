"""Two principal axes of the latents, the same for all queries."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.report import principal_axes
from cellferry.report.principal_axes import PrincipalAxes
from sklearn.decomposition import PCA


def write(path, latents):
    pq.write_table(pa.table({f"latent_{n}": column for n, column in enumerate(latents.T)}), path)
    return path


@pytest.fixture
def latents():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(500, 12)) * np.linspace(1, 4, 12) + 3).astype(np.float32)


@pytest.mark.parametrize("rows", [7, 500, 10_000])
def test_they_are_principal_components_however_the_file_is_read(tmp_path, monkeypatch, latents, rows):
    monkeypatch.setattr(principal_axes, "ROWS", rows)
    found = PrincipalAxes(write(tmp_path / "cells.parquet", latents))(latents)
    expected = PCA(2, svd_solver="full").fit_transform(latents.astype(np.float64))
    expected *= np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_axis_points_where_its_largest_share_is(tmp_path, latents):
    axes = PrincipalAxes(write(tmp_path / "cells.parquet", latents))
    mirrored = PrincipalAxes(write(tmp_path / "mirrored.parquet", latents[::-1]))
    np.testing.assert_allclose(axes(latents), mirrored(latents), atol=1e-3)
    assert axes(latents[:0]).shape == (0, 2)


def test_of_a_single_latent_the_second_place_is_0(tmp_path, latents):
    places = PrincipalAxes(write(tmp_path / "cells.parquet", latents[:, :1]))(latents[:, :1])
    assert places.shape == (500, 2)
    assert (places[:, 1] == 0).all()
