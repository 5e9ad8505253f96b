"""The linear model on expression: scikit-learn's on the dense z-scored matrix, without ever making it."""

import numpy as np
import pytest
import scanpy as sc
from cellferry.expression import REGULARISATION, ExpressionHead, log_normalised
from scipy import sparse
from simulate import simulate_cells
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def labelled(n_cells, labels, *, seed=0, n_genes=80):
    cells = simulate_cells(n_cells, n_genes=n_genes, labels=labels, shift=0.1, seed=seed)
    counts = cells.X.tolil()
    counts[:, 5] = 0  # a gene without counts
    return counts.tocsr(), np.asarray(cells.obs["cell_type"].cat.codes)


@pytest.mark.parametrize("labels", [("B", "T"), ("B", "NK", "T")], ids=["two", "three"])
def test_it_is_scikit_learns_on_the_dense_z_scored_matrix(labels):
    counts, codes = labelled(200, labels)
    query, _ = labelled(50, labels, seed=1)
    head = ExpressionHead.train(counts, codes, n_labels=len(labels))
    scaler = StandardScaler().fit(log_normalised(counts).toarray())
    dense = LogisticRegression(C=REGULARISATION, max_iter=5000, tol=1e-8)
    dense.fit(scaler.transform(log_normalised(counts).toarray()), codes)
    expected = dense.predict_proba(scaler.transform(log_normalised(query).toarray()))
    found = head.probabilities(query)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_a_cell_depends_on_no_other_cell():
    """By its own statistics a query of one type would lose what tells the type from others."""
    counts, codes = labelled(300, ("B", "NK", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=3)
    query, truth = labelled(150, ("B", "NK", "T"), seed=1)
    whole = head.probabilities(query)
    for label in range(3):
        np.testing.assert_array_equal(head.probabilities(query[truth == label]), whole[truth == label])
    np.testing.assert_array_equal(head.probabilities(query[7]), whole[7:8])


def test_a_label_without_cells_gets_probability_0_and_keeps_its_place():
    counts, codes = labelled(120, ("B", "T"))
    expected = ExpressionHead.train(counts, codes, n_labels=2).probabilities(counts)
    found = ExpressionHead.train(counts, 2 * codes + 1, n_labels=4).probabilities(counts)
    assert (found[:, [0, 2]] == 0).all()
    np.testing.assert_allclose(found[:, [1, 3]], expected, atol=1e-6)


def test_stored_and_read_it_predicts_the_same(tmp_path):
    counts, codes = labelled(60, ("B", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=2)
    head.save(tmp_path)
    with np.load(tmp_path / "expression.npz", allow_pickle=False) as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "coefficients": (2, 80),
            "intercepts": (2,),
        }
    assert np.array_equal(ExpressionHead.load(tmp_path).probabilities(counts), head.probabilities(counts))


def test_cells_without_counts_and_no_cells():
    counts, codes = labelled(60, ("B", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=2)
    empty = sparse.csr_matrix((3, 80), dtype=np.float32)
    assert np.isfinite(head.probabilities(empty)).all()
    assert head.probabilities(empty[:0]).shape == (0, 2)
    # Among the training cells, too.
    both = sparse.vstack([counts, empty]).tocsr()
    trained = ExpressionHead.train(both, np.concatenate([codes, [0, 0, 1]]), n_labels=2)
    assert np.isfinite(trained.probabilities(both)).all()


def test_log_normalised_is_scanpys():
    cells = simulate_cells(40)
    expected = sc.pp.log1p(sc.pp.normalize_total(cells, target_sum=1e4, copy=True), copy=True).X
    np.testing.assert_allclose(log_normalised(cells.X).toarray(), expected.toarray(), rtol=1e-5)
