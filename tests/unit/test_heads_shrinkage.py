"""Shrinkage of linear models on expression: chosen on held-out cells."""

import numpy as np
import pytest
from cellferry.heads.shrinkage import CANDIDATES, of_all_labels, shrunk_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss


def cells(n_cells, n_genes, *, effect, telling, seed):
    """Z-scores of genes, of which the first `telling` differ by `effect` between two labels."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n_cells) % 2
    values = rng.normal(size=(n_cells, n_genes))
    values[:, :telling] += effect * codes[:, None]
    return values, codes


def chosen(**how):
    learned, held_out = cells(200, **how, seed=0), cells(200, **how, seed=1)
    return shrunk_regression(*learned, held_out, fallback=0.01).C


def test_a_panel_of_few_genes_is_shrunk_less_than_thousands_of_noisy_ones():
    panel = chosen(n_genes=5, effect=2.5, telling=5)
    thousands = chosen(n_genes=2000, effect=0.5, telling=20)
    assert panel > thousands


def test_the_one_with_the_least_log_loss_is_taken(capsys):
    learned = cells(200, n_genes=30, effect=1.0, telling=3, seed=0)
    values, codes = held_out = cells(60, n_genes=30, effect=1.0, telling=3, seed=1)
    found = shrunk_regression(*learned, held_out, fallback=0.01)
    losses = {
        candidate: log_loss(codes, LogisticRegression(C=candidate).fit(*learned).predict_proba(values))
        for candidate in CANDIDATES
    }
    assert min(losses, key=losses.get) == found.C
    assert f"C = {found.C}: log loss {losses[found.C]:.3f}" in capsys.readouterr().out


def test_without_held_out_cells_the_fallback_is_taken():
    assert shrunk_regression(*cells(50, 10, effect=1, telling=5, seed=0), None, fallback=0.07).C == 0.07


def test_held_out_cells_of_a_label_that_is_not_learned_do_not_decide():
    learned, (values, codes) = (cells(100, 10, effect=3, telling=5, seed=seed) for seed in (0, 1))
    without = shrunk_regression(*learned, (values, codes), fallback=0.01)
    strange = np.full(1000, 100.0)[:, None] * np.ones(10)
    with_others = np.concatenate([values, strange]), np.concatenate([codes, np.full(1000, 2)])
    assert shrunk_regression(*learned, with_others, fallback=0.01).C == without.C


@pytest.mark.parametrize("n_labels", [2, 3])
def test_a_label_without_cells_gets_probability_0(n_labels):
    values, codes = cells(60, 4, effect=2, telling=4, seed=0)
    codes = codes if n_labels == 2 else np.arange(60) % 3
    model = LogisticRegression().fit(values, 2 * codes)
    coefficients, intercepts = of_all_labels(model, 6)
    logits = values @ coefficients.T + intercepts
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[:, model.classes_], model.predict_proba(values), atol=1e-6)
    np.testing.assert_allclose(probabilities[:, model.classes_].sum(axis=1), 1)
