"""The linear model on principal components: scikit-learn's, held by coefficients of genes."""

import numpy as np
import pytest
from cellferry.heads.expression import log_normalized
from cellferry.heads.expression_pca import COMPONENTS, REGULARIZATION, ExpressionPcaHead
from scipy import sparse
from simulate import simulate_cells
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def labeled(n_cells, labels, *, seed=0, n_genes=120):
    cells = simulate_cells(n_cells, n_genes=n_genes, labels=labels, shift=0.1, seed=seed)
    return cells.X, np.asarray(cells.obs["cell_type"].cat.codes)


@pytest.mark.parametrize("labels", [("B", "T"), ("B", "NK", "T")], ids=["two", "three"])
def test_it_is_scikit_learns_on_dense_components(labels):
    counts, codes = labeled(300, labels)
    query, _ = labeled(60, labels, seed=1)
    head = ExpressionPcaHead.train(counts, codes, n_labels=len(labels))
    components = PCA(COMPONENTS, svd_solver="full")
    dense = make_pipeline(components, LogisticRegression(C=REGULARIZATION, max_iter=5000, tol=1e-8))
    dense.fit(log_normalized(counts).toarray().astype(np.float64), codes)
    expected = dense.predict_proba(log_normalized(query).toarray())
    found = head.probabilities(query)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_held_out_cells_choose_the_shrinkage(capsys):
    (counts, codes), held_out = labeled(200, ("B", "T")), labeled(100, ("B", "T"), seed=1)
    ExpressionPcaHead.train(counts, codes, held_out, n_labels=2)
    assert "shrinkage C =" in capsys.readouterr().out


def test_it_is_stored_under_a_name_of_its_own_and_read_the_same(tmp_path):
    counts, codes = labeled(100, ("B", "T"))
    head = ExpressionPcaHead.train(counts, codes, n_labels=2)
    head.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["expression_pca.npz"]
    assert np.array_equal(ExpressionPcaHead.load(tmp_path).probabilities(counts), head.probabilities(counts))


def test_fewer_cells_than_components_and_a_label_without_cells():
    counts, codes = labeled(12, ("B", "T"))
    head = ExpressionPcaHead.train(counts, 2 * codes, n_labels=3)
    found = head.probabilities(sparse.vstack([counts, sparse.csr_matrix((1, 120))]).tocsr())
    assert np.isfinite(found).all()
    assert (found[:, 1] == 0).all()
