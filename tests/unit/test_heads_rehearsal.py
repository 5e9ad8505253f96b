"""A rehearsal: donors left out, cells excluded from training, and the heads' predictions for them."""

import numpy as np
import pytest
from cellferry.artifacts.latents import read_codes
from cellferry.heads.linear import LinearHead
from cellferry.heads.rehearsal import MAX_FOLDS, Rehearsal, folds, rehearse, without
from cellferry.heads.training_cells import Drawn, TrainingCells
from mapped import LABELS, latents_at, write_part


def sizes(batches):
    return np.full(len(batches), 10)


def test_each_batch_is_left_out_once():
    batches = ["atlas/a", "atlas/b", "atlas/c"]
    assert sorted(folds(batches, sizes(batches), {"atlas/a"})) == [0, 1, 2]


def test_datasets_are_left_out_whole():
    batches = ["atlas/a", "atlas/b", "other/a", "third/a"]
    found = folds(batches, sizes(batches), {"held/out"})
    assert found[0] == found[1]
    assert len(set(found.tolist())) == 3


def test_many_donors_are_left_out_together_in_folds_of_like_sizes():
    batches = [f"atlas/{number:02}" for number in range(12)]
    n_cells = np.arange(12) ** 2 + 1
    found = folds(batches, n_cells, {"atlas/00"})
    assert set(found.tolist()) == set(range(MAX_FOLDS))
    of_folds = np.bincount(found, weights=n_cells)
    assert of_folds.max() < 1.6 * of_folds.mean()


def test_where_nothing_is_rehearsed():
    assert folds(["atlas/a"], sizes("a"), {"atlas/a"}) is None
    # Validation cells of other donors serve as well.
    assert folds(["atlas/a", "atlas/b"], sizes("ab"), {"atlas/a", "atlas/x"}) is None


def training_cells(codes, validated=()):
    rows = np.arange(len(codes))
    checked = np.array(validated, dtype=np.int32)
    return TrainingCells(
        LABELS, Drawn(rows, np.array(codes, np.int32)), rows[::2], Drawn(np.arange(len(checked)), checked)
    )


def test_cells_of_the_donor_are_left_out_and_labels_that_nobody_else_has():
    cells = training_cells([0, 1, 2, 0, 1, 1], validated=[0, 1, 2])
    kept, labels = without(cells, np.array([0, 0, 1, 0, 0, 1], bool), np.array([1, 0, 0], bool), seed=0)
    assert labels.tolist() == [0, 1]
    assert kept.labels == LABELS[:2]
    assert kept.learned.rows.tolist() == [0, 1, 3, 4]
    assert kept.learned.codes.tolist() == [0, 1, 0, 1]
    # Rows 0 and 4 were among the training cells of models on expression.
    assert kept.part.tolist() == [0, 3]
    assert kept.held_out.rows.tolist() == [1]
    assert kept.held_out.codes.tolist() == [1]


def parts(tmp_path, places, batches):
    train = write_part(tmp_path / "train", places, batches=batches, spread=0.3)
    validation = write_part(tmp_path / "validation", places[:12], batches=batches, spread=0.3, seed=5)
    codes = read_codes(train.mapped, "label")[0]
    return train, validation, training_cells(codes, read_codes(validation.mapped, "label")[0])


def test_each_cell_is_answered_by_heads_that_did_not_learn_from_its_donor(tmp_path):
    """The head here memorizes its training cells."""
    places = [0, 1, 2] * 20
    train, validation, cells = parts(tmp_path, places, ("a", "b"))
    learned = []

    class Memory:
        def __init__(self, kept):
            self.rows = set(kept.learned.rows.tolist())
            learned.append(self.rows)

        def probabilities(self, latents):
            return np.full((len(latents), 3), 1 / 3, dtype=np.float32)

    found = rehearse(
        train.mapped, validation.mapped, cells, lambda kept: {"linear": Memory(kept)}, lambda _: None, seed=0
    )
    batch = np.arange(60) % 2
    assert [{int(batch[row]) for row in rows} for rows in learned] == [{1}, {0}]
    assert len(found.codes) == 60
    assert np.bincount(found.donors).tolist() == [30, 30]
    assert found.by_head["linear"].shape == (60, 3)


def linear_heads(train):
    latents = latents_at(train.places, spread=0.3)
    return lambda kept: {"linear": LinearHead.train(latents[kept.learned.rows], kept.learned.codes)}


def test_answers_stand_in_the_columns_of_all_labels(tmp_path):
    """Donor b has two of the labels; without it the third is known, without a it is not."""
    places = [0, 0, 1, 1, 2, 0] * 20
    train, validation, cells = parts(tmp_path, places, ("a", "b"))
    found = rehearse(train.mapped, validation.mapped, cells, linear_heads(train), lambda _: None, seed=0)
    probabilities = found.by_head["linear"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == found.codes).mean() > 0.95
    # All cells of the third label are of donor a; other donors lack it, so they are not predicted.
    assert set(found.codes.tolist()) == {0, 1}


@pytest.mark.parametrize("batches", [("a",), ("a", "b", "c")])
def test_donors_of_one_label_each_cannot_be_rehearsed(tmp_path, batches):
    train, validation, cells = parts(tmp_path, [0, 1, 2] * 10, batches)
    assert (
        rehearse(train.mapped, validation.mapped, cells, linear_heads(train), lambda _: None, seed=0) is None
    )


def test_it_is_read_as_it_was_written(tmp_path):
    assert Rehearsal.load(tmp_path) is None
    probabilities = np.random.default_rng(0).random((2, 5, 3)).astype(np.float32)
    written = Rehearsal(np.arange(5), np.zeros(5, int), np.array(["linear", "expression"]), probabilities)
    written.save(tmp_path)
    read = Rehearsal.load(tmp_path)
    assert list(read.by_head) == ["linear", "expression"]
    np.testing.assert_array_equal(read.by_head["expression"], probabilities[1])
    np.testing.assert_array_equal(read.codes, written.codes)
