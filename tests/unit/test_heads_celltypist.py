"""CellTypist's regression as a head: the decisions of its own formula, on counts of the model's genes."""

import numpy as np
import pandas as pd
import pytest
from cellferry.commands.import_model.celltypist import read_celltypist
from cellferry.config.available_heads import CELLTYPIST
from cellferry.heads.celltypist import CelltypistHead, Measured
from cellferry.heads.expression import log_normalized
from cellferry.heads.registry import load_heads, predict
from cellferry.labels.names import LabelNames
from regressions import celltypist_answers, celltypist_decisions, train_celltypist, write_celltypist
from scipy import sparse
from simulate import simulate_cells

LABELS = ("T cell", "B cell", "NK", "Mono")
GENES = 120


def head_of(path):
    model = read_celltypist(path, LabelNames({}, []), trust=True)
    arrays = (model.coefficients, model.intercepts, model.mean, model.scale)
    return model, CelltypistHead.of(*arrays)


def as_measured(cells, genes):
    """Counts of the model's genes, 0 where cells lack one, and what they were measured by."""
    place = {gene: column for column, gene in enumerate(cells.var_names)}
    columns = [place.get(gene, -1) for gene in genes]
    dense = np.pad(cells.X.toarray(), ((0, 0), (0, 1)))[:, columns]
    totals = cells.X.toarray().sum(axis=1)
    return sparse.csr_matrix(dense), Measured(totals, np.array(columns) >= 0)


def query(extreme=None):
    """Cells with genes that the model lacks, and without a third of those that it has."""
    cells = simulate_cells(150, n_genes=GENES + 20, labels=LABELS, seed=3)
    cells = cells[:, [gene for gene in range(GENES + 20) if gene % 3]].copy()
    if extreme:  # a gene of many counts in some cells
        dense = cells.X.toarray()
        dense[:40, cells.var_names.get_loc(extreme)] += 3000
        cells.X = sparse.csr_matrix(dense)
    return cells


@pytest.fixture(scope="module")
def learned():
    return simulate_cells(200, n_genes=GENES + 20, labels=LABELS)[:, :GENES].copy()


@pytest.mark.parametrize("sgd", [False, True])
@pytest.mark.parametrize("with_mean", [True, False])
def test_decisions_are_those_of_celltypist(learned, tmp_path, sgd, with_mean):
    content = train_celltypist(learned, sgd=sgd, with_mean=with_mean)
    model, head = head_of(write_celltypist(tmp_path / "m.pkl", content))
    assert model.labels == content["Model"].classes_.tolist()
    cells = query()
    values = as_measured(cells, model.genes)
    expected = celltypist_decisions(content, cells)
    np.testing.assert_allclose(head.decisions(*values), expected, rtol=1e-9, atol=1e-9)
    best, probabilities = celltypist_answers(content, cells)
    found = head.probabilities(*values)
    assert (np.array(model.labels)[found.argmax(axis=1)] == best).all()
    np.testing.assert_allclose(found, probabilities, atol=1e-6)


def test_each_of_its_steps_makes_a_difference(learned, tmp_path):
    """So that the equality above holds them: totals of all genes, missing genes, z-scores cut at 10."""
    content = train_celltypist(learned)
    model, head = head_of(write_celltypist(tmp_path / "m.pkl", content))
    scale = pd.Series(model.scale, model.genes)
    cells = query(extreme=scale[scale.index.isin(query().var_names)].idxmin())
    counts, measured = as_measured(cells, model.genes)
    exact = celltypist_decisions(content, cells)
    np.testing.assert_allclose(head.decisions(counts, measured), exact, rtol=1e-9, atol=1e-9)
    of_model = Measured(counts.toarray().sum(axis=1), measured.genes)
    as_zero = Measured(measured.totals, np.ones_like(measured.genes))
    not_cut = CelltypistHead(head.coefficients, head.intercepts, head.means, np.full_like(head.most, np.inf))
    assert np.abs(head.decisions(counts, of_model) - exact).max() > 0.01
    assert np.abs(head.decisions(counts, as_zero) - exact).max() > 0.01
    assert np.abs(not_cut.decisions(counts, measured)[:40] - exact[:40]).max() > 0.01


def test_it_is_loaded_and_predicts_as_other_heads_do(learned, tmp_path):
    model, head = head_of(write_celltypist(tmp_path / "m.pkl", train_celltypist(learned)))
    head.save(tmp_path)
    loaded = load_heads(tmp_path, [CELLTYPIST], threads=1)
    counts, measured = as_measured(query(), model.genes)
    no_latents = np.zeros((counts.shape[0], 0), dtype=np.float32)
    for normalized in (None, log_normalized(counts)):  # which it does not take
        found = predict(loaded, no_latents, counts, normalized, measured)
        np.testing.assert_array_equal(found[CELLTYPIST], head.probabilities(counts, measured))


def test_two_labels_have_one_row_in_the_file(tmp_path):
    cells = simulate_cells(100, n_genes=50, labels=("T cell", "B cell"))
    content = train_celltypist(cells)
    assert content["Model"].coef_.shape == (1, 50)
    model, head = head_of(write_celltypist(tmp_path / "m.pkl", content))
    found = head.probabilities(*as_measured(cells, model.genes))
    np.testing.assert_allclose(found, celltypist_answers(content, cells)[1], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (np.array(model.labels)[found.argmax(axis=1)] == cells.obs["cell_type"]).all()


def test_the_best_label_is_that_of_the_highest_decision_however_sure_several_are():
    def head_with(intercepts):
        none = np.zeros((3, 1))
        return CelltypistHead(none, np.array(intercepts, dtype=float), np.zeros(1), np.ones(1))

    one, measured = sparse.csr_matrix((1, 1), dtype=np.float32), Measured(np.zeros(1), np.ones(1, bool))
    for intercepts in ([18, 40, 90], [90, 40, 18], [20, 21, 20], [-300, -299, -300], [-90, -700, -800]):
        (found,) = head_with(intercepts).probabilities(one, measured)
        assert found.argmax() == np.argmax(intercepts)
        assert (found[np.argmax(intercepts)] > np.delete(found, np.argmax(intercepts))).all()
        assert (found > 0).all()
        assert (found <= 1).all()


def test_probabilities_do_not_depend_on_how_cells_are_cut(learned, tmp_path):
    model, head = head_of(write_celltypist(tmp_path / "m.pkl", train_celltypist(learned)))
    counts, measured = as_measured(query(), model.genes)
    whole = head.probabilities(counts, measured)
    pieces = [
        head.probabilities(
            counts[start : start + 7], Measured(measured.totals[start : start + 7], measured.genes)
        )
        for start in range(0, counts.shape[0], 7)
    ]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_a_cell_without_counts_has_an_answer(learned, tmp_path):
    model, head = head_of(write_celltypist(tmp_path / "m.pkl", train_celltypist(learned)))
    nothing = sparse.csr_matrix((1, len(model.genes)), dtype=np.float32)
    assert np.isfinite(
        head.probabilities(nothing, Measured(np.zeros(1), np.ones(len(model.genes), bool)))
    ).all()
