"""Labels of a few cells, detected by the ranks of marker genes."""

import numpy as np
import pytest
from cellferry.heads.expression_ranks import ExpressionRanksHead
from cellferry.heads.rare_labels import RareLabels
from scipy import sparse

N_LABELS = 3
RARE = ["mast", "γδ, T"]
LEVELS = np.random.default_rng(99).gamma(1.0, 2.0, (N_LABELS + len(RARE), 150))


def cells(codes, *, seed=0, depth=1.0):
    """Counts of 150 genes, of which each label, rare ones too, has its own level."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(depth * LEVELS[codes] * rng.gamma(5, 0.2, (len(codes), 1)))
    return sparse.csr_matrix(counts.astype(np.float32))


KNOWN = np.arange(300) % N_LABELS


@pytest.fixture(scope="module")
def trained():
    """Trained on 300 cells of three labels, four of one rare label and one of another."""
    few = np.array([0, 0, 1, 0, 0])
    return RareLabels.train(
        (cells(KNOWN), KNOWN),
        (cells(N_LABELS + few, seed=1), few),
        (cells(KNOWN, seed=2), KNOWN),
        n_labels=N_LABELS,
        names=RARE,
    )


def test_cells_of_a_rare_label_are_told_from_all_others(trained):
    found = trained.likeness(cells(N_LABELS + np.arange(100) % 2, seed=3, depth=0.5))
    assert found.labels.tolist() == RARE * 50
    assert np.mean(found.probability > 0.8) > 0.95
    assert np.mean(trained.likeness(cells(KNOWN, seed=4)).probability > 0.8) < 0.005


def test_some_cells_are_those_of_a_mask(trained):
    found = trained.likeness(cells(KNOWN[:10], seed=3))
    some = found.of_cells(np.arange(10) > 6)
    assert some.labels.tolist() == found.labels[7:].tolist()
    np.testing.assert_array_equal(some.probability, found.probability[7:])


def test_a_stored_one_says_the_same(trained, tmp_path):
    asked = cells(np.arange(5), seed=5)
    assert RareLabels.load(tmp_path) is None
    trained.save(tmp_path)
    loaded = RareLabels.load(tmp_path)
    assert loaded.names == RARE
    np.testing.assert_array_equal(loaded.likeness(asked).probability, trained.likeness(asked).probability)


def test_a_label_without_cells_is_never_likely():
    """With many labels in many batches, one may not be drawn; its held-out cells do not count."""
    codes = KNOWN + 1
    held_out = cells(KNOWN, seed=2), np.where(KNOWN == 0, 0, codes)
    few = cells(np.full(4, N_LABELS), seed=1), np.zeros(4, dtype=int)
    found = RareLabels.train((cells(KNOWN), codes), few, held_out, n_labels=N_LABELS + 1, names=["mast"])
    probabilities = found.ranks.probabilities(cells(KNOWN, seed=3))
    assert (probabilities[:, 0] == 0).all()
    assert (probabilities.argmax(axis=1) == codes).mean() > 0.95


def test_the_head_that_votes_knows_nothing_of_them(trained):
    alone = ExpressionRanksHead.train(cells(KNOWN), KNOWN, (cells(KNOWN, seed=2), KNOWN), n_labels=N_LABELS)
    assert alone.profiles.shape[0] == N_LABELS
    assert trained.ranks.profiles.shape[0] == N_LABELS + len(RARE)
