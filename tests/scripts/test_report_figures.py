"""The report's figures: maps, curves and confusions, on the page and as files."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.evaluation import Confusion
from cellferry.report import figures, umap
from cellferry.report.context import training_in_words
from cellferry.report.page import draw_confusions
from cellferry.report.umap import map_cells
from report_world import LABELS, World
from scipy.spatial import cKDTree


def test_figures_are_files_too_and_the_same(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=["test", "q1"], labels=LABELS).draw()
    drawn = tmp_path / "figures"
    names = sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*.*"))
    maps = [f"maps/{by}.png" for by in ("batch", "dataset", "label", "probability")]
    assert names == ["confusion/q1.svg", "confusion/test.svg", *maps, "reliability.svg", "training.svg"]
    for path in drawn.rglob("*.svg"):
        assert figures.for_page(path) in page.source
    for path in drawn.rglob("*.png"):
        assert figures.png_uri(path) in page.source


def test_calibration_error_stands_beside_the_curve_and_in_the_table(tmp_path, monkeypatch):
    drawn = {}
    curve = figures.reliability_curve
    monkeypatch.setattr(
        figures, "reliability_curve", lambda bins, errors: drawn.update(errors) or curve(bins, errors)
    )
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    page, forced = world.draw(), world.scores("test").forced
    assert drawn == {"test": forced.ece}
    row = page.section("Scores per classifier").row("test")
    assert row[1] == f"{forced.accuracy:.3f} / {forced.macro_f1:.3f} / {forced.ece:.3f}"


def test_confusion_of_many_labels_keeps_every_cell():
    labels = [f"l{n:03d}" for n in range(100)]
    cells = np.random.default_rng(0).integers(1, 9, (100, 101))
    counted = [(*place, int(n)) for place, n in np.ndenumerate(cells)]
    confusion = Confusion(labels, [*labels, "unknown"], counted)
    truth, predicted, shown, shares = figures.confusion_shares(confusion)
    assert shares.shape == (60, 62)  # the rows' labels, unknown, others
    assert predicted[-2:] == ["unknown", "others"]
    np.testing.assert_array_equal(
        shown.sum(axis=1), cells[[labels.index(name) for name in truth]].sum(axis=1)
    )
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_where_nothing_was_scored_there_is_a_folder_all_the_same(tmp_path):
    """It is an output of the rule, also for a pre-trained model and a query without labels."""
    assert draw_confusions({}, tmp_path / "figures" / "confusion") == {}
    assert (tmp_path / "figures" / "confusion").is_dir()


def test_figures_say_their_numbers(tmp_path):
    confusion = Confusion(["a", "b"], ["a", "b"], [(0, 0, 3), (0, 1, 1), (1, 1, 2)])
    figures.save(*insert(figures.confusion_heatmap(confusion), tmp_path / "c.svg"))
    said = re.findall(r"<title>(.*?)</title>", (tmp_path / "c.svg").read_text(encoding="utf-8"))
    assert said == [
        "truth a, answer a: 3 of 4 cells (75.0%)",
        "truth a, answer b: 1 of 4 cells (25.0%)",
        "truth b, answer b: 2 of 2 cells (100.0%)",
    ]
    losses = {"training": ([0.0, 1.0], [9.0, 8.0]), "validation": ([1.0], [8.5])}
    figures.save(*insert(figures.training_curve(losses), tmp_path / "t.svg"))
    said = re.findall(r"<title>(.*?)</title>", (tmp_path / "t.svg").read_text(encoding="utf-8"))
    assert said == ["training, epoch 0: 9", "training, epoch 1: 8", "validation, epoch 1: 8.5"]


def insert(drawn, path):
    figure, titles = drawn
    return figure, path, titles


def test_how_training_went():
    config = {"model": {"type": "scvi", "patience": 45, "early_stopping": True}}
    rows = [
        {"epoch": str(n), "train_loss": str(9 - n), "validation_loss": str(loss), "max_epochs": "400"}
        for n, loss in enumerate([9, 7, 8])
    ]
    said = training_in_words(rows, config)
    assert (said["epochs"], said["max_epochs"], said["best"], said["loss"]) == (3, 400, 2, 7)
    assert training_in_words([], config) is None
    del rows[-1]["max_epochs"]  # from an earlier version
    assert training_in_words(rows, config)["max_epochs"] is None


def test_history_without_a_single_loss(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    (tmp_path / "history.csv").write_text("epoch,train_loss,validation_loss\n")
    assert "The model has no training history" in world.draw().text


def test_umap_keeps_types_apart_and_is_the_same_again():
    rng = np.random.default_rng(0)
    types = np.repeat(np.arange(4), 60)
    latents = (rng.normal(size=(4, 10))[types] * 3 + rng.normal(size=(240, 10))).astype(np.float32)
    places = umap.embed(latents, seed=0)
    assert places.shape == (240, 2)
    _, nearest = cKDTree(places).query(places, k=6)
    assert (types[nearest] == types[:, None]).mean() > 0.95
    np.testing.assert_array_equal(umap.embed(latents, seed=0), places)


@pytest.mark.parametrize("n_latent", [1, 2, 30])
@pytest.mark.parametrize("n_cells", [umap.MIN_CELLS, 40])
def test_umap_of_few_or_equal_cells(n_cells, n_latent):
    latents = np.random.default_rng(0).normal(size=(n_cells, n_latent)).astype(np.float32)
    for some in (latents, np.zeros_like(latents), np.repeat(latents[:2], n_cells // 2, axis=0)):
        assert np.isfinite(umap.embed(some, seed=0)).all()


def test_map_cells_keep_labels_and_latents_together(tmp_path, monkeypatch):
    monkeypatch.setattr(umap, "MAX_MAP_CELLS", 50)
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS)
    by_part = {"reference": world.mapped[:2], "q1": world.mapped[2:]}
    cells = map_cells(by_part, {"q1": world.predictions[1]}, seed=0)
    assert set(cells["batch"]) <= {f"c{chunk}_{row}" for chunk in (0, 1) for row in range(30)}
    assert cells["latents"].shape == (50, 3)
    assert cells["dataset"].tolist() == ["reference"] * 25 + ["q1"] * 25
    tables = [pq.read_table(path, columns=["latent_0", "label"]) for path in world.mapped[:2]]
    label_of = {row["latent_0"]: row["label"] for table in tables for row in table.to_pylist()}
    assert [label_of[float(value)] for value in cells["latents"][:25, 0]] == cells["label"][:25].tolist()
    assert np.isnan(cells["probability"][:25]).all()
    assert not np.isnan(cells["probability"][25:]).any()


def test_nothing_was_scored(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=[], labels=LABELS).draw()
    assert "No cells with a known truth were scored." in page.text
