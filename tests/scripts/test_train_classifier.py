"""train_classifier: its training cells, heads and files."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import xgboost
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.config.settings import ClassifierSettings
from cellferry.errors import InputError
from cellferry.heads.label_distances import LabelDistances
from cellferry.heads.registry import HEADS, ON_COUNTS, load_heads, predict
from cellferry.heads.scanvi import ScanviHead
from cellferry.heads.training import TrainingFiles
from cellferry.resources import memory
from cellferry.resources.budget import Budget
from example_artifacts import hierarchy_of, write_reference_labels
from mapped import LABELS, LEVELS, N_GENES, TELLTALE, counts_at, latents_at, values_at, write_part
from simulate import settings_like
from threadpoolctl import threadpool_limits
from train_classifier import train_classifier

SETTINGS = {"max_training_cells": 10_000, "n_trees": 50, "max_depth": 6, "learning_rate": 0.1}

BUDGET = Budget(4000)

ONTOLOGY = {LABELS[1]: "CL:0000001", LABELS[2]: "CL:0000002"}

OF_MARKERS = ("cytovi", "expression_xgboost")
NOT_HERE = ("scanvi", *OF_MARKERS)
"""Heads that counts and a model without a classifier cannot train."""

OF_RNA = ("scanvi", "expression_pca", "expression_ranks")


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture
def parts(tmp_path):
    """Training cells in three chunks, one of them empty; validation cells; an empty model folder."""
    return write_parts(tmp_path)


@pytest.fixture
def on_markers(tmp_path):
    """The same with marker values in the place of counts."""
    return write_parts(tmp_path, markers=True)


def write_parts(tmp_path, *, markers=False):
    places = [0] * 150 + [1] * 50 + [2] * 5 + [2] * 30 + [0] * 70
    labels = [LABELS[place] for place in places]
    labels[200:205] = [None] * 5
    train = write_part(tmp_path / "train", places, labels=labels, markers=markers)
    cells = pq.read_table(train.mapped[0])
    train.mapped = [str(tmp_path / f"train/chunk{number}.parquet") for number in range(3)]
    for path, (first, last) in zip(train.mapped, [(0, 205), (205, 205), (205, 305)], strict=True):
        pq.write_table(cells.slice(first, last - first), path)
    held_out = [LABELS[0]] * 20 + [LABELS[1]] * 20 + ["not in training"] * 3
    validation = write_part(
        tmp_path / "validation",
        [0] * 20 + [1] * 20 + [3] * 3,
        labels=held_out,
        markers=markers,
        seed=9,
    )
    (tmp_path / "model").mkdir()
    write_reference_labels(tmp_path / "labels.json", LABELS, LEVELS, ontology=ONTOLOGY)
    return train, validation


def run(
    tmp_path,
    parts,
    *,
    out="classifier",
    validation_common=None,
    modality="rna",
    seed=0,
    budget=BUDGET,
    **settings,
):
    train, validation = parts
    validation_common = validation_common or validation.common
    model = str(tmp_path / "model")
    train_classifier(
        TrainingFiles(train.mapped, validation.mapped, model, train.common, validation_common),
        str(tmp_path / "labels.json"),
        str(tmp_path / out),
        settings=settings_like(ClassifierSettings, **SETTINGS | settings),
        modality=modality,
        seed=seed,
        budget=budget,
        threads=1,
    )
    return read_artifact(ClassifierLabels, tmp_path / out / "labels.json")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_heads_that_know_the_labels(parts, tmp_path, capsys):
    description = run(tmp_path, parts)
    assert description.hierarchy.leaves == LABELS
    assert description.heads == ["xgboost", "linear", "neighbors", *ON_COUNTS]
    assert description.hierarchy == hierarchy_of(LABELS, LEVELS)
    assert description.ontology == ONTOLOGY
    assert description.training_cells == dict(zip(LABELS, [220, 50, 30], strict=True))
    assert description.validation_cells == 40
    assert description.settings["trees_kept"] <= 50
    heads = load_heads(tmp_path / "classifier", description.heads, threads=1)
    found = predict(heads, latents_at([0, 1, 2]), counts_at([0, 1, 2], seed=7))
    for name, probabilities in found.items():
        assert probabilities.argmax(axis=1).tolist() == [0, 1, 2], name
    log = capsys.readouterr().out
    assert "training on 300 of the reference's 305 training cells" in log
    assert "no validation cell has the label(s): γδ T" in log


def test_nothing_is_pickled(parts, tmp_path):
    run(tmp_path, parts)
    assert files(tmp_path / "classifier") == [
        "expression.npz",
        "expression_pca.npz",
        "expression_ranks.npz",
        "expression_sums.npz",
        "label_distances.npz",
        "labels.json",
        "linear.npz",
        "neighbors.parquet",
        "rehearsal.npz",
        "xgboost.npz",
        "xgboost.ubj",
    ]
    for path in (tmp_path / "classifier").glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(array.size for array in arrays.values())


@pytest.mark.parametrize("off", ["xgboost", "linear", "neighbors", *ON_COUNTS])
def test_each_head_can_be_switched_off(parts, tmp_path, off):
    wanted = [name for name in HEADS if name != off]
    description = run(tmp_path, parts, heads=wanted)
    assert description.heads == [name for name in wanted if name not in NOT_HERE]
    # Neighbors and labels' centers detect cells out of reference, whichever heads vote.
    assert {"neighbors.parquet", "label_distances.npz"} <= set(files(tmp_path / "classifier"))
    assert (tmp_path / "classifier" / HEADS[off].file_name).exists() == (off == "neighbors")
    assert (description.settings["trees_kept"] == 0) == (off == "xgboost")


def scanvi_head(labels):
    """A model's classifier of these labels, of one layer."""
    return ScanviHead(
        np.array(labels),
        False,
        weight_0=np.eye(5)[: len(labels)] * 2.0,
        bias_0=np.zeros(len(labels)),
    )


def test_scanvis_classifier_votes_where_the_model_has_one(parts, tmp_path):
    scanvi_head(LABELS[:2]).save(tmp_path / "model")
    description = run(tmp_path, parts)
    assert description.heads == [name for name in HEADS if name not in OF_MARKERS]
    (head,) = load_heads(tmp_path / "classifier", ["scanvi"], threads=1).values()
    found = head.probabilities(latents_at([0, 1, 2]))
    assert found[:2].argmax(axis=1).tolist() == [0, 1]
    assert (found[:, 2] == 0).all()  # the model lacks it
    assert run(tmp_path, parts, out="alone", heads=["scanvi"]).heads == ["scanvi"]


def test_scanvi_alone_without_such_a_model_is_refused(parts, tmp_path):
    with pytest.raises(InputError, match=r"prediction\.heads: none of \['scanvi'\].*type scanvi"):
        run(tmp_path, parts, heads=["scanvi"])
    assert not (tmp_path / "classifier").exists()


def test_the_distances_are_of_the_cells_that_were_drawn(parts, tmp_path):
    run(tmp_path, parts)
    distances = LabelDistances.load(tmp_path / "classifier")
    assert distances.means.shape == (3, 5)
    inside, outside = distances.nearest(latents_at([0, 1, 2, 4]))[[0, 3]]
    assert outside > 3 * inside


def test_the_cap_draws_evenly_over_labels_and_batches_and_says_so(parts, tmp_path, capsys):
    run(tmp_path, parts, max_training_cells=150)
    table = pq.read_table(tmp_path / "classifier/neighbors.parquet")
    sizes = np.bincount(table["code"].to_numpy())
    assert sizes.sum() == 150
    assert sizes[2] == 30  # the rare label is kept whole
    assert "at most 150 training cells: prediction.max_training_cells" in capsys.readouterr().out


def test_the_training_cells_are_capped_and_the_reason_is_told(parts, tmp_path, capsys, monkeypatch):
    assert memory.training_cap(n_labels=100, max_training_cells=200_000, trees=True) == 200_000
    assert memory.training_cap(n_labels=1000, max_training_cells=200_000, trees=True) == 50_000
    monkeypatch.setattr(memory, "MAX_CELLS_TIMES_LABELS", 300)
    run(tmp_path, parts)
    said = capsys.readouterr().out
    assert "at most 100 training cells: XGBoost's memory grows with cells × 3 labels" in said
    assert "training on 100 of" in said


def test_fewer_cells_for_expression_than_labels(parts, tmp_path, monkeypatch):
    """A label without a cell there gets probability 0, and the others keep their places."""
    monkeypatch.setattr(memory, "MAX_EXPRESSION_CELLS", 2)
    description = run(tmp_path, parts)
    assert description.hierarchy.leaves == LABELS
    (head,) = load_heads(tmp_path / "classifier", ["expression"], threads=1).values()
    assert head.probabilities(counts_at([0, 1, 2])).shape == (3, 3)


def test_too_little_memory_is_told_at_once(parts, tmp_path):
    with pytest.raises(InputError, match=r"cannot run below \d+; .* or lower prediction\.max_training_cells"):
        run(tmp_path, parts, budget=Budget(300))


def test_counts_of_other_cells_are_refused(parts, tmp_path):
    train, validation = parts
    train.common = validation.common
    with pytest.raises(RuntimeError, match="has 43 cells, but 305 were mapped"):
        run(tmp_path, parts)


def test_without_validation_cells(parts, tmp_path):
    nothing = write_part(tmp_path / "nothing", [])
    description = run(tmp_path, (parts[0], nothing))
    assert description.validation_cells == 0
    assert description.settings["trees_kept"] == 50


def test_the_same_seed_gives_the_same_files(parts, tmp_path):
    for name in ("first", "again"):
        run(tmp_path, parts, out=name)
    for file in files(tmp_path / "first"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_two_labels(tmp_path, parts):
    two = write_part(tmp_path / "two", [0, 1] * 60)
    description = run(tmp_path, (two, parts[1]))
    heads = load_heads(tmp_path / "classifier", description.heads, threads=1)
    for name, values in predict(heads, latents_at([0, 1]), counts_at([0, 1], seed=7)).items():
        assert values.argmax(axis=1).tolist() == [0, 1], name


@pytest.mark.parametrize("labels", [[LABELS[0]] * 10, [None] * 10], ids=["one", "none"])
def test_one_label_is_refused(tmp_path, parts, labels):
    only = write_part(tmp_path / "only", [0] * 10, labels=labels)
    with pytest.raises(InputError, match=r"training cells have [01] label\(s\) \((B, naive|none)\)"):
        run(tmp_path, (only, parts[1]))
    assert not (tmp_path / "classifier").exists()


def run_on_markers(tmp_path, parts, **settings):
    return run(tmp_path, parts, **{"modality": "cytometry"} | settings)


def test_marker_values_are_learned_from_by_heads_of_their_own(on_markers, tmp_path):
    description = run_on_markers(tmp_path, on_markers)
    assert description.heads == [name for name in HEADS if name not in OF_RNA]
    assert 0 < description.settings["expression_trees_kept"] <= 50
    heads = load_heads(tmp_path / "classifier", description.heads, threads=1)
    for name, found in predict(heads, latents_at([0, 1, 2]), values_at([0, 1, 2], seed=7)).items():
        assert found.argmax(axis=1).tolist() == [0, 1, 2], name
    assert not heads["expression"].normalize
    # The neighbors are stored once.
    assert files(tmp_path / "classifier") == [
        "expression.npz",
        "expression_sums.npz",
        "expression_xgboost.npz",
        "expression_xgboost.ubj",
        "label_distances.npz",
        "labels.json",
        "linear.npz",
        "neighbors.parquet",
        "rehearsal.npz",
        "xgboost.npz",
        "xgboost.ubj",
    ]


def test_what_only_some_references_have_is_not_learned_from(on_markers, tmp_path):
    """A marker of some references only, although it distinguishes every label."""
    run_on_markers(tmp_path, on_markers)
    heads = load_heads(tmp_path / "classifier", ["expression"], threads=1)
    assert (heads["expression"].coefficients[:, TELLTALE] == 0).all()
    assert np.count_nonzero(heads["expression"].coefficients) == 3 * (N_GENES - 1)
    booster = xgboost.Booster(model_file=tmp_path / "classifier" / "expression_xgboost.ubj")
    splits = booster.get_score(importance_type="weight")
    assert splits
    assert f"f{TELLTALE}" not in splits


def test_validation_cells_stop_the_trees_on_markers(on_markers, tmp_path):
    """With the labels of validation cells all wrong, the first round is the best."""
    train, validation = on_markers
    names = [LABELS[1]] * 20 + [LABELS[0]] * 20 + ["not in training"] * 3
    wrong = write_part(tmp_path / "wrong", validation.places, labels=names, markers=True, seed=9)
    settings = run_on_markers(tmp_path, (train, wrong)).settings
    assert (settings["trees_kept"], settings["expression_trees_kept"]) == (1, 1)


@pytest.mark.parametrize("off", ["cytovi", "expression", "expression_xgboost"])
def test_each_head_of_cytometry_can_be_switched_off(on_markers, tmp_path, off):
    wanted = [name for name in HEADS if name != off]
    description = run_on_markers(tmp_path, on_markers, heads=wanted)
    assert description.heads == [name for name in wanted if name not in OF_RNA]
    assert (description.settings["expression_trees_kept"] == 0) == (off == "expression_xgboost")


def test_without_expression_cytovis_vote_is_left(on_markers, tmp_path):
    on_markers[0].common = None
    description = run_on_markers(tmp_path, on_markers)
    assert description.heads == ["xgboost", "linear", "neighbors", "cytovi"]


def test_without_validation_cells_trees_on_markers_are_trained_too(on_markers, tmp_path):
    nothing = write_part(tmp_path / "nothing", [], markers=True)
    description = run_on_markers(tmp_path, (on_markers[0], nothing))
    assert description.settings["expression_trees_kept"] == 50


@pytest.mark.parametrize("heads", [["cytovi"], ["expression_xgboost"]])
def test_heads_of_cytometry_are_refused_where_genes_were_counted(parts, tmp_path, heads):
    with pytest.raises(InputError, match=r"none of .* cytovi and expression_xgboost take cytometry"):
        run(tmp_path, parts, heads=heads)


def test_marker_values_of_other_validation_cells_are_refused(on_markers, tmp_path):
    other = write_part(tmp_path / "other", [0, 1], markers=True)
    with pytest.raises(RuntimeError, match="has 2 cells, but 43 were mapped"):
        run_on_markers(tmp_path, on_markers, validation_common=other.common)


def test_markers_take_memory(on_markers, tmp_path):
    with pytest.raises(InputError, match=r"cannot run below \d+") as told:
        run_on_markers(tmp_path, on_markers, budget=Budget(300))
    with pytest.raises(InputError, match=r"cannot run below \d+") as without:
        run_on_markers(tmp_path, on_markers, heads=["linear"], budget=Budget(300))
    least, less = (int(re.search(r"below (\d+)", str(one.value))[1]) for one in (told, without))
    assert least >= less + 64
