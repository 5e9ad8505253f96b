"""Ranks of marker genes: Spearman's correlation with the labels' mean expression."""

import numpy as np
import pytest
from cellferry.heads.expression import log_normalized
from cellferry.heads.expression_ranks import (
    MARKERS_PER_PAIR,
    ExpressionRanksHead,
    centered_ranks,
    fitted_temperature,
    marker_genes,
)
from scipy import sparse
from scipy.special import softmax
from scipy.stats import rankdata, spearmanr
from simulate import simulate_cells

LABELS = ("B", "NK", "T")


def labeled(n_cells, *, seed=0, depth=1.0, n_genes=150):
    """Counts of 150 genes, of which each label has its own level, and codes of the labels."""
    levels = np.random.default_rng(99).gamma(1.0, 2.0, (len(LABELS), n_genes))
    rng = np.random.default_rng(seed)
    codes = np.arange(n_cells) % len(LABELS)
    counts = rng.poisson(depth * levels[codes] * rng.gamma(5, 0.2, (n_cells, 1)))
    return sparse.csr_matrix(counts.astype(np.float32)), codes


@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_ranks_are_scipys_however_many_are_equal(density):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 5, (40, 30)) * (rng.random((40, 30)) < density)
    values[3], values[5] = 0, 2  # nothing was counted; all are equal
    ranks = rankdata(values, axis=1)
    centered = ranks - ranks.mean(axis=1, keepdims=True)
    profile = rng.normal(size=30)
    profile -= profile.mean()
    found, lengths = centered_ranks(sparse.csr_matrix(values.astype(np.float32)))
    np.testing.assert_allclose(found @ profile, centered @ profile, atol=1e-9)
    np.testing.assert_allclose(lengths, np.linalg.norm(centered, axis=1), atol=1e-9)


@pytest.mark.parametrize("scale", [1, 1500, 0.37, -1])
def test_ranks_are_the_same_whether_counts_are_counted_or_sorted(scale):
    """Small ones are counted; large ones, fractions and negative values are sorted."""
    rng = np.random.default_rng(0)
    values = np.sort(rng.integers(1, 7, (20, 50)) * (rng.random((20, 50)) < 0.5), axis=1).astype(np.float32)
    (found, lengths), (scaled, lengths_scaled) = (
        centered_ranks(sparse.csr_matrix(some)) for some in (values, values * np.float32(scale))
    )
    of_zeros = (np.count_nonzero(values == 0, axis=1) + 1) / 2
    expected = rankdata(values if scale > 0 else np.where(values, 7 - values, 0), axis=1) - of_zeros[:, None]
    np.testing.assert_allclose(scaled.toarray(), np.where(values, expected, 0), atol=1e-9)
    if scale > 0:
        np.testing.assert_array_equal(scaled.toarray(), found.toarray())
        np.testing.assert_array_equal(lengths_scaled, lengths)


def test_stored_zeros_are_zeros():
    stored = sparse.csr_matrix((np.array([0, 2, 1], np.float32), ([0, 0, 0], [1, 2, 4])), shape=(1, 6))
    plain = sparse.csr_matrix(stored.toarray())
    for found, expected in zip(centered_ranks(stored), centered_ranks(plain), strict=True):
        np.testing.assert_array_equal(
            found.toarray() if sparse.issparse(found) else found,
            expected.toarray() if sparse.issparse(expected) else expected,
        )


def test_correlations_are_spearmans_with_the_means_of_the_labels():
    counts, codes = labeled(90)
    query, _ = labeled(20, seed=1)
    head = ExpressionRanksHead.train(counts, codes, n_labels=3)
    expression = log_normalized(counts).toarray()
    for code in range(3):
        mean = expression[codes == code].mean(axis=0)[head.genes]
        expected = [spearmanr(cell, mean).statistic for cell in query[:, head.genes].toarray()]
        np.testing.assert_allclose(head.correlations(query)[:, code], expected, atol=1e-6)


def test_labels_are_right_whatever_all_counts_of_a_cell_have_in_common():
    """Depth, and any curve that all counts go through, leave the ranks as they are."""
    head = ExpressionRanksHead.train(*labeled(300), n_labels=3)
    query, truth = labeled(300, seed=1, depth=0.4)
    found = head.probabilities(query)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == truth).mean() > 0.95
    curved = query.copy()
    curved.data = curved.data**3 + 7
    np.testing.assert_array_equal(head.probabilities(curved), found)


def test_a_cell_depends_on_no_other_cell():
    head = ExpressionRanksHead.train(*labeled(90), n_labels=3)
    query, _ = labeled(40, seed=1)
    whole = head.probabilities(query)
    for part in (slice(0, 1), slice(1, 17), slice(17, 40)):
        np.testing.assert_array_equal(head.probabilities(query[part]), whole[part])


def test_a_mean_of_three_cells_is_enough():
    counts, codes = labeled(300)
    few = np.concatenate([np.flatnonzero(codes < 2), np.flatnonzero(codes == 2)[:3]])
    head = ExpressionRanksHead.train(counts[few], codes[few], n_labels=3)
    query, truth = labeled(300, seed=1)
    assert (head.probabilities(query).argmax(axis=1) == truth).mean() > 0.9


def test_held_out_cells_give_the_temperature():
    counts, codes = labeled(300)
    query, truth = labeled(300, seed=1)
    wrong = np.where(np.arange(300) % 5 == 0, (truth + 1) % 3, truth)
    sure, careful = (
        ExpressionRanksHead.train(counts, codes, (query, labels), n_labels=3) for labels in (truth, wrong)
    )
    assert careful.temperature > 2 * sure.temperature


def test_a_known_temperature_is_found_again():
    rng = np.random.default_rng(0)
    correlations = rng.uniform(0.2, 0.8, (5000, 4))
    draws = (softmax(correlations / 0.05, axis=1).cumsum(axis=1) < rng.random((5000, 1))).sum(axis=1)
    assert fitted_temperature(correlations, np.minimum(draws, 3)) == pytest.approx(0.05, rel=0.1)


def test_a_label_without_cells_gets_probability_0_and_held_out_cells_of_it_count_for_nothing():
    counts, codes = labeled(90)
    held_out = labeled(90, seed=1)[0], np.arange(90) % 4
    head = ExpressionRanksHead.train(counts, np.array([0, 1, 3])[codes], held_out, n_labels=4)
    found = head.probabilities(counts)
    assert (found[:, 2] == 0).all()
    assert (found.argmax(axis=1) == np.array([0, 1, 3])[codes]).mean() > 0.95


def test_cells_without_counts_and_no_cells():
    head = ExpressionRanksHead.train(*labeled(90), n_labels=3)
    empty = sparse.csr_matrix((3, 150), dtype=np.float32)
    np.testing.assert_allclose(head.probabilities(empty), 1 / 3, atol=1e-6)
    assert head.probabilities(empty[:0]).shape == (0, 3)


def test_stored_and_read_it_is_the_same(tmp_path):
    counts, codes = labeled(90)
    head = ExpressionRanksHead.train(counts, codes, n_labels=3)
    head.save(tmp_path)
    read = ExpressionRanksHead.load(tmp_path)
    assert np.array_equal(read.probabilities(counts), head.probabilities(counts))


def test_markers_are_the_genes_by_which_a_label_exceeds_another_most():
    means = np.random.default_rng(0).gamma(1.0, 1.0, (6, 500))
    expected = set()
    for label in means:
        for other in means:
            excess = label - other
            expected |= {gene for gene in np.argsort(-excess)[:MARKERS_PER_PAIR] if excess[gene] > 0}
    assert marker_genes(means).tolist() == sorted(expected)


def test_of_many_labels_each_is_compared_with_those_like_it():
    cells = simulate_cells(600, n_genes=300)
    pattern = log_normalized(cells.X).toarray()[:120].astype(np.float64)
    genes = marker_genes(pattern)
    assert 0 < len(genes) <= 300
    assert np.array_equal(genes, marker_genes(pattern))


def test_labels_that_do_not_differ_have_all_genes():
    assert marker_genes(np.ones((2, 7))).tolist() == list(range(7))
