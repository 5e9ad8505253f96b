"""Cells with a coarser label: they train the sum of the labels below it, and no label in particular."""

import numpy as np
import pytest
from cellferry.heads.boosting import balanced_weights
from cellferry.heads.expression import ExpressionHead
from cellferry.heads.expression_pca import ExpressionPcaHead
from cellferry.heads.linear import LinearHead
from cellferry.heads.marginal import (
    CoarseCells,
    expected_weights,
    learn_sums,
)
from cellferry.heads.shrinkage import of_all_labels, shrunk_regression
from scipy import sparse
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

N_LABELS = 4
T_CELLS = np.array([[True, True, True, False]])
"""Labels below the coarser one: coarser labels × labels."""


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def cells(n_cells, *, seed, apart=1.2, n_latent=8):
    """Latents and labels: three subtypes that lie near each other, and a type far away."""
    centers = np.zeros((N_LABELS, n_latent))
    centers[:3, :3] = apart * np.eye(3)
    centers[3, 4] = 6
    codes = np.arange(n_cells) % N_LABELS
    noise = np.random.default_rng(seed).normal(size=(n_cells, n_latent))
    return (centers[codes] + noise).astype(np.float32), codes


def half_coarse(n_cells, *, fine, seed):
    """Cells of which a share `fine` of the subtypes has a label, and the others have the coarser one."""
    values, codes = cells(n_cells, seed=seed)
    is_fine = (codes == 3) | (np.random.default_rng(seed + 1).random(n_cells) < fine)
    coarse = CoarseCells(values[~is_fine], np.zeros((~is_fine).sum(), dtype=int), T_CELLS)
    return values[is_fine], codes[is_fine], coarse


def shifted(n_cells, *, seed):
    """Cells as above, of another laboratory: all lie nearer to the far type, and one direction shows it."""
    values, codes = cells(n_cells, seed=seed)
    values[:, 4] += 3
    values[:, 7] += 3
    return values, codes


def accuracy(model, values, codes):
    coefficients, intercepts = model
    return float(((values @ coefficients.T + intercepts).argmax(axis=1) == codes).mean())


def test_the_result_is_the_maximum_of_the_marginal_likelihood():
    """No step from there raises the penalized likelihood, computed here by its definition."""
    values, codes, coarse = half_coarse(300, fine=0.3, seed=0)
    model = LogisticRegression(C=0.5, max_iter=500).fit(values, codes)

    def objective(coefficients, intercepts):
        logits, others = (each @ coefficients.T + intercepts for each in (values, coarse.values))
        right = (logits - logsumexp(logits, axis=1, keepdims=True))[np.arange(len(codes)), codes]
        branch = logsumexp(others[:, :3], axis=1) - logsumexp(others, axis=1)
        return 0.5 * -(right.sum() + branch.sum()) + (coefficients**2).sum() / 2

    before = objective(model.coef_, model.intercept_)
    learn_sums(model, values, codes, coarse)
    found = objective(model.coef_, model.intercept_)
    assert found < before - 0.1
    rng = np.random.default_rng(0)
    for _ in range(50):
        step = 0.02 * rng.normal(size=model.coef_.shape), 0.02 * rng.normal(size=model.intercept_.shape)
        assert objective(model.coef_ + step[0], model.intercept_ + step[1]) > found - 1e-3


def test_sums_help_beyond_the_cells_with_labels_and_a_coarse_class_does_harm():
    """Coarser cells of another laboratory train the branch, and do not compete with a label."""
    values, codes = cells(120, seed=1)
    more, _ = shifted(600, seed=2)
    coarse_codes = np.arange(600) % N_LABELS
    coarse = CoarseCells(more[coarse_codes < 3], np.zeros((coarse_codes < 3).sum(), dtype=int), T_CELLS)
    test, truth = shifted(2000, seed=3)
    alone = LogisticRegression(max_iter=500).fit(values, codes)
    taught = LogisticRegression(max_iter=500).fit(values, codes)
    learn_sums(taught, values, codes, coarse)
    one_more = LogisticRegression(max_iter=500).fit(
        np.concatenate([values, coarse.values]), np.append(codes, np.full(len(coarse.nodes), N_LABELS))
    )
    of_model = {name: (m.coef_, m.intercept_) for name, m in (("alone", alone), ("taught", taught))}
    scores = {name: accuracy(model, test, truth) for name, model in of_model.items()}
    assert scores["taught"] > scores["alone"] + 0.05
    assert set(taught.classes_) == set(range(N_LABELS))
    assert (one_more.predict(test[truth < 3]) == N_LABELS).mean() > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_cells_with_the_coarser_label_do_no_harm(seed):
    values, codes, coarse = half_coarse(400, fine=0.5, seed=10 * seed)
    test, truth = cells(3000, seed=99)
    alone = shrunk_regression(values, codes, None, fallback=0.1)
    taught = shrunk_regression(values, codes, None, fallback=0.1, coarse=coarse)
    scores = [accuracy(of_all_labels(model, N_LABELS), test, truth) for model in (alone, taught)]
    assert scores[1] >= scores[0] - 0.005


def test_a_coarser_label_above_all_or_none_of_the_labels_teaches_nothing():
    values, codes, coarse = half_coarse(200, fine=0.5, seed=0)
    model = LogisticRegression().fit(values, codes)
    before = model.coef_.copy()
    for below in (np.ones((1, N_LABELS), dtype=bool), np.zeros((1, N_LABELS), dtype=bool)):
        learn_sums(model, values, codes, coarse._replace(below=below))
        np.testing.assert_array_equal(model.coef_, before)


def test_labels_weigh_the_same_with_their_expected_cells():
    codes, nodes = np.repeat([0, 1, 2, 3], [10, 20, 30, 40]), np.zeros(120, dtype=int)
    weights = expected_weights(codes, N_LABELS, nodes, T_CELLS)
    sums = np.bincount(codes, weights=weights.labels[codes])
    subtypes, other = sums[:3].sum() + weights.nodes[0] * 120, sums[3]
    assert subtypes == pytest.approx(3 * other)
    nothing = expected_weights(codes, N_LABELS, nodes[:0], T_CELLS)
    np.testing.assert_allclose(nothing.labels, balanced_weights(codes, N_LABELS))


@pytest.mark.parametrize("train", [ExpressionHead.train, ExpressionPcaHead.train])
def test_heads_on_counts_learn_from_them(train):
    rng = np.random.default_rng(0)
    rate = np.full((N_LABELS, 60), 1.0)
    for label in range(N_LABELS):
        rate[label, 10 * label : 10 * label + 10] = 4
    codes = np.arange(200) % N_LABELS
    counts = sparse.csr_matrix(rng.poisson(rate[codes]).astype(np.float32))
    is_fine = (codes == 3) | (rng.random(200) < 0.3)
    coarse = CoarseCells(counts[~is_fine], np.zeros((~is_fine).sum(), dtype=int), T_CELLS)
    how = {"n_labels": N_LABELS} | ({"normalize": True} if train == ExpressionHead.train else {})
    alone, taught = (train(counts[is_fine], codes[is_fine], **how, coarse=each) for each in (None, coarse))
    branch = [head.probabilities(counts[~is_fine])[:, :3].sum(axis=1).mean() for head in (alone, taught)]
    assert branch[1] > branch[0]


def test_the_linear_head_learns_from_them():
    values, codes, coarse = half_coarse(300, fine=0.2, seed=4)
    alone, taught = LinearHead.train(values, codes), LinearHead.train(values, codes, coarse)
    branch = [head.probabilities(coarse.values)[:, :3].sum(axis=1).mean() for head in (alone, taught)]
    assert branch[1] > branch[0]
    again = LinearHead.train(values, codes, coarse)
    np.testing.assert_array_equal(again.coefficients, taught.coefficients)
