"""The linear model on expression: scikit-learn's on the dense z-scored matrix, without that matrix."""

import numpy as np
import pytest
import scanpy as sc
from cellferry.heads.expression import (
    REGULARIZATION,
    REGULARIZATION_OF_MARKERS,
    ExpressionHead,
    log_normalized,
)
from scipy import sparse
from simulate import simulate_cells
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def labeled(n_cells, labels, *, seed=0, n_genes=80):
    cells = simulate_cells(n_cells, n_genes=n_genes, labels=labels, shift=0.1, seed=seed)
    counts = cells.X.tolil()
    counts[:, 5] = 0  # a gene without counts
    return counts.tocsr(), np.asarray(cells.obs["cell_type"].cat.codes)


@pytest.mark.parametrize("labels", [("B", "T"), ("B", "NK", "T")], ids=["two", "three"])
def test_it_is_scikit_learns_on_the_dense_z_scored_matrix(labels):
    counts, codes = labeled(200, labels)
    query, _ = labeled(50, labels, seed=1)
    head = ExpressionHead.train(counts, codes, n_labels=len(labels), normalize=True)
    scaler = StandardScaler().fit(log_normalized(counts).toarray())
    dense = LogisticRegression(C=REGULARIZATION, max_iter=5000, tol=1e-8)
    dense.fit(scaler.transform(log_normalized(counts).toarray()), codes)
    expected = dense.predict_proba(scaler.transform(log_normalized(query).toarray()))
    found = head.probabilities(query)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_a_cell_depends_on_no_other_cell():
    """A query of one type, scaled by its own statistics, would lose the type's differences."""
    counts, codes = labeled(300, ("B", "NK", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=3, normalize=True)
    query, truth = labeled(150, ("B", "NK", "T"), seed=1)
    whole = head.probabilities(query)
    for label in range(3):
        np.testing.assert_array_equal(head.probabilities(query[truth == label]), whole[truth == label])
    np.testing.assert_array_equal(head.probabilities(query[7]), whole[7:8])


def test_a_label_without_cells_gets_probability_0_and_keeps_its_place():
    counts, codes = labeled(120, ("B", "T"))
    expected = ExpressionHead.train(counts, codes, n_labels=2, normalize=True).probabilities(counts)
    found = ExpressionHead.train(counts, 2 * codes + 1, n_labels=4, normalize=True).probabilities(counts)
    assert (found[:, [0, 2]] == 0).all()
    np.testing.assert_allclose(found[:, [1, 3]], expected, atol=1e-6)


def test_stored_and_read_it_predicts_the_same(tmp_path):
    counts, codes = labeled(60, ("B", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=2, normalize=True)
    head.save(tmp_path)
    with np.load(tmp_path / "expression.npz", allow_pickle=False) as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "coefficients": (2, 80),
            "intercepts": (2,),
            "normalize": (),
        }
    assert np.array_equal(ExpressionHead.load(tmp_path).probabilities(counts), head.probabilities(counts))


def test_cells_without_counts_and_no_cells():
    counts, codes = labeled(60, ("B", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=2, normalize=True)
    empty = sparse.csr_matrix((3, 80), dtype=np.float32)
    assert np.isfinite(head.probabilities(empty)).all()
    assert head.probabilities(empty[:0]).shape == (0, 2)
    # Among the training cells, too.
    both = sparse.vstack([counts, empty]).tocsr()
    trained = ExpressionHead.train(both, np.concatenate([codes, [0, 0, 1]]), n_labels=2, normalize=True)
    assert np.isfinite(trained.probabilities(both)).all()


def test_log_normalized_is_scanpys():
    cells = simulate_cells(40)
    expected = sc.pp.log1p(sc.pp.normalize_total(cells, target_sum=1e4, copy=True), copy=True).X
    np.testing.assert_allclose(log_normalized(cells.X).toarray(), expected.toarray(), rtol=1e-5)


def marker_values(n_cells, *, n_labels=3, seed=0):
    """Values of twelve markers, one of which never varies, and label codes."""
    centers = np.random.default_rng(0).normal(0.4, 0.15, (n_labels, 12))
    rng = np.random.default_rng(seed)
    codes = np.arange(n_cells) % n_labels
    values = centers[codes] + rng.normal(0, 0.2, (n_cells, 12))
    values[:, 4] = 0
    return sparse.csr_matrix(values.astype(np.float32)), codes


@pytest.mark.parametrize("n_labels", [2, 3])
def test_on_marker_values_it_is_scikit_learns_on_their_z_scores(n_labels):
    values, codes = marker_values(300, n_labels=n_labels)
    query, _ = marker_values(80, n_labels=n_labels, seed=1)
    head = ExpressionHead.train(values, codes, n_labels=n_labels, normalize=False)
    scaler = StandardScaler().fit(values.toarray())
    dense = LogisticRegression(C=REGULARIZATION_OF_MARKERS, max_iter=5000, tol=1e-8)
    dense.fit(scaler.transform(values.toarray()), codes)
    expected = dense.predict_proba(scaler.transform(query.toarray()))
    np.testing.assert_allclose(head.probabilities(query), expected, atol=5e-3)
    assert (head.coefficients[:, 4] == 0).all()


def test_stored_and_read_it_knows_what_its_cells_come_as(tmp_path):
    values, codes = marker_values(90)
    for normalize in (True, False):
        head = ExpressionHead.train(abs(values), codes, n_labels=3, normalize=normalize)
        head.save(tmp_path)
        read = ExpressionHead.load(tmp_path)
        assert read.normalize is normalize
        assert np.array_equal(read.probabilities(abs(values)), head.probabilities(abs(values)))


def test_what_an_earlier_version_stored_is_for_counts(tmp_path):
    counts, codes = labeled(60, ("B", "T"))
    head = ExpressionHead.train(counts, codes, n_labels=2, normalize=True)
    np.savez(tmp_path / "expression.npz", coefficients=head.coefficients, intercepts=head.intercepts)
    assert np.array_equal(ExpressionHead.load(tmp_path).probabilities(counts), head.probabilities(counts))


def test_training_leaves_the_values_as_they_were():
    values, codes = marker_values(60)
    before = values.toarray()
    ExpressionHead.train(values, codes, n_labels=3, normalize=False)
    assert np.array_equal(values.toarray(), before)
