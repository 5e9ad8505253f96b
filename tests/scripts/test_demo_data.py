"""demo_data: real counts, of different cells, in two formats."""

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from demo_data import demo_data, recover_counts


def test_counts_are_whole_and_give_the_packaged_values_back():
    cells = recover_counts()
    counts = cells.layers["counts"].toarray()
    assert cells.shape == (700, 765)
    assert np.array_equal(counts, np.round(counts))
    totals = sc.datasets.pbmc68k_reduced().obs["n_counts"].to_numpy()
    np.testing.assert_allclose(np.log1p(counts / totals[:, None] * 1e4), cells.X.toarray(), atol=6e-4)


def test_reference_and_query_share_no_cell(tmp_path):
    demo_data(
        str(tmp_path / "reference.h5ad"), str(tmp_path / "query"), str(tmp_path / "query_obs.csv"), seed=0
    )
    reference = ad.read_h5ad(tmp_path / "reference.h5ad")
    query = sc.read_10x_mtx(tmp_path / "query")
    labels = pd.read_csv(tmp_path / "query_obs.csv", index_col=0)
    assert reference.n_obs + query.n_obs == 700
    assert not set(reference.obs_names) & set(query.obs_names)
    assert list(labels.index) == list(query.obs_names)
    original = recover_counts()
    np.testing.assert_array_equal(query.X.toarray(), original[query.obs_names].layers["counts"].toarray())
