"""Labels of mixed depth: cells with a coarser label in training, calibration and scores."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.labels import ClassifierLabels, LabelCells, ReferenceLabels
from cellferry.config.settings import ClassifierSettings
from cellferry.evaluation.baseline import train_baseline
from cellferry.heads.registry import load_heads, predict
from cellferry.heads.rehearsal import Rehearsal
from cellferry.heads.training import TrainingFiles
from cellferry.labels.hierarchy import COARSER, LabelHierarchy
from cellferry.labels.levels import hierarchy_of_parents
from cellferry.resources.budget import Budget
from mapped import LABELS, counts_at, latents_at, write_expression, write_part
from simulate import settings_like
from threadpoolctl import threadpool_limits
from train_classifier import train_classifier

ABOVE = "lymphocyte"
PARENTS = {LABELS[0]: ABOVE, LABELS[1]: ABOVE}
HIERARCHY = hierarchy_of_parents(PARENTS, [*LABELS[:3], ABOVE], LABELS[:3])
HERE = ("xgboost", "linear", "neighbors", "expression", "expression_pca", "expression_ranks")


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def train(folder, labels, places, *, hierarchy=HIERARCHY, batches=("a", "b", "b"), validation=()):
    """Classifiers of cells at places, with labels; `validation` are labels of further validation cells."""
    folder.mkdir()
    part = write_part(folder / "train", places, labels=labels, batches=batches)
    held_out = [*[0, 1, 2] * 20, *[0.5] * len(validation)]
    names = [*(LABELS[number] for number in [0, 1, 2] * 20), *validation]
    others = write_part(folder / "validation", held_out, labels=names, batches=batches, seed=9)
    (folder / "model").mkdir()
    counted = {label: LabelCells(n, n, 0, 0) for label, n in Counter(labels).items()}
    write_artifact(ReferenceLabels(counted, hierarchy, {}), folder / "labels.json")
    files = TrainingFiles(
        part.mapped, others.mapped, str(folder / "model"), str(part.common), str(others.common)
    )
    train_classifier(
        files,
        str(folder / "labels.json"),
        str(folder / "classifier"),
        settings=settings_like(ClassifierSettings, max_training_cells=10_000, n_trees=10),
        modality="rna",
        seed=0,
        budget=Budget(4000),
        threads=1,
    )
    return folder / "classifier", part, others


def mixed(n_fine, n_coarse, n_other):
    """Labels and places: a few cells of two labels, many with the label above these, and others."""
    places = [*[0, 1] * n_fine, *[0, 1] * n_coarse, *[2] * n_other]
    labels = [LABELS[number] for number in places]
    labels[2 * n_fine : 2 * (n_fine + n_coarse)] = [ABOVE] * (2 * n_coarse)
    return labels, places


def test_cells_with_a_coarser_label_teach_the_heads_that_can(tmp_path, capsys):
    classifier, _, _ = train(tmp_path / "run", *mixed(20, 40, 40))
    said = capsys.readouterr().out
    assert f"coarser label '{ABOVE}': 80 cells train the sum of the labels below it" in said
    assert "heads trained on these cells: linear, expression, expression_pca" in said
    assert "left out of xgboost, neighbors, expression_ranks" in said
    known = read_artifact(ClassifierLabels, classifier / "labels.json")
    assert known.hierarchy.leaves == LABELS
    assert known.training_cells == dict(zip(LABELS, [20, 20, 40], strict=True))
    assert len(pq.read_table(classifier / "neighbors.parquet")) == 80


def test_every_head_gives_a_label_of_the_finest_level(tmp_path):
    classifier, _, _ = train(tmp_path / "run", *mixed(20, 40, 40))
    places = [0, 1, 2] * 30
    heads = load_heads(classifier, list(HERE), threads=1)
    found = predict(heads, latents_at(places, spread=0.5, seed=5), counts_at(places, seed=5))
    for name, probabilities in found.items():
        assert (probabilities.argmax(axis=1) == np.array(places)).mean() > 0.9, name


def test_without_the_tree_the_coarser_label_competes(tmp_path):
    """It takes most cells of the labels below it, but none of them with the hierarchy."""
    labels, places = mixed(20, 40, 40)
    plain = LabelHierarchy([], {label: [] for label in set(labels)}, sorted(set(labels)))
    folders = {
        "tree": train(tmp_path / "tree", labels, places)[0],
        "plain": train(tmp_path / "plain", labels, places, hierarchy=plain)[0],
    }
    query = [0, 1] * 40
    right = {}
    for name, folder in folders.items():
        names = read_artifact(ClassifierLabels, folder / "labels.json").hierarchy.leaves
        heads = load_heads(folder, ["linear", "expression", "xgboost"], threads=1)
        answers = predict(heads, latents_at(query, spread=0.5, seed=5), counts_at(query, seed=5))
        best = np.array(names)[sum(answers.values()).argmax(axis=1)]
        right[name] = (best == np.array(LABELS)[query]).mean()
    assert right["tree"] > 0.95
    assert right["plain"] < 0.6


def test_a_tree_without_cells_of_its_coarser_labels_changes_no_byte(tmp_path):
    places = [0, 1, 2] * 40
    labels = [LABELS[number] for number in places]
    no_tree = LabelHierarchy([], {label: [] for label in LABELS}, LABELS)
    with_tree = hierarchy_of_parents(PARENTS, LABELS, LABELS)
    one, other = (
        train(tmp_path / name, labels, places, hierarchy=hierarchy)[0]
        for name, hierarchy in (("one", no_tree), ("other", with_tree))
    )
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    for name in files:
        if name != "labels.json":
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_label_above_all_others_teaches_nothing_and_is_named(tmp_path, capsys):
    labels, places = mixed(20, 0, 40)
    everything = hierarchy_of_parents(dict.fromkeys(LABELS, "cell"), [*LABELS, "cell"], LABELS)
    classifier, _, _ = train(
        tmp_path / "run", [*labels, *["cell"] * 20], [*places, *[0] * 20], hierarchy=everything
    )
    assert (
        "cells with the coarser label 'cell' are not used for training: all labels are below it"
        in capsys.readouterr().out
    )
    assert len(pq.read_table(classifier / "neighbors.parquet")) == 80


def test_the_same_cells_give_the_same_classifiers(tmp_path):
    one, other = (train(tmp_path / name, *mixed(20, 40, 40))[0] for name in ("one", "other"))
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_a_rehearsal_learns_from_sums_and_asks_for_cells_with_labels_only(tmp_path):
    classifier, _, _ = train(tmp_path / "run", *mixed(20, 40, 40))
    rehearsal = Rehearsal.load(classifier)
    assert len(rehearsal.codes) == 80
    assert set(rehearsal.codes) == {0, 1, 2}


def test_calibration_leaves_them_out(tmp_path):
    """A cell with a coarser label only cannot show whether a finest label is right."""
    learned = []
    for name, further in (("with", [ABOVE] * 12), ("without", [])):
        classifier, part, others = train(tmp_path / name, *mixed(20, 40, 40), validation=further)
        for file in ("model/model.pt", "genes.tsv"):
            (tmp_path / name / file).write_text("")
        calibrate_classifier(
            others.mapped,
            part.mapped,
            str(others.common),
            str(classifier),
            str(tmp_path / name / "model"),
            str(tmp_path / name / "genes.tsv"),
            str(tmp_path / name / "decision.json"),
            max_error=0.05,
            seed=0,
            budget=Budget(4000),
            threads=1,
        )
        found = read_artifact(DecisionModel, tmp_path / name / "decision.json")
        learned.append((found.held_out, found.temperatures, found.thresholds))
    assert learned[0] == learned[1]


def test_the_baseline_leaves_them_out(tmp_path):
    labels, places = mixed(20, 40, 40)
    path = write_expression(tmp_path / "cells.h5ad", counts_at(places), markers=False, labels=labels)
    with H5adReader(path) as cells:
        all_labels = train_baseline(cells, seed=0).predict(counts_at([0, 1] * 20))
        finest = train_baseline(cells, seed=0, left_out={ABOVE}).predict(counts_at([0, 1] * 20))
    assert ABOVE in all_labels
    assert set(finest) <= set(LABELS)


def test_a_truth_at_a_coarser_level_is_scored_there():
    assert HIERARCHY.kind(ABOVE) == COARSER
    assert HIERARCHY.is_right(ABOVE, LABELS[1], "label")
    assert not HIERARCHY.is_right(ABOVE, LABELS[2], "label")
    assert HIERARCHY.is_coarse(ABOVE)
    assert not HIERARCHY.is_coarse(LABELS[0])
