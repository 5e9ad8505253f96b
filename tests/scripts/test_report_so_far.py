"""report_so_far: a page of existing results, with a list of missing ones."""

import html
import re

import pytest
from report_so_far import MANY, MISSING, what_is_there
from report_world import LABELS, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, queries=["q1", "q2"], scored=["test", "q1"], labels=LABELS)


def draw(world, files, missing):
    (world.folder / "logs/predict_labels/q2").mkdir(parents=True)
    (world.folder / "logs/predict_labels/q2/1.log").write_text("reading\nerror: <the disk> is full\n")
    (world.folder / "logs/report_so_far").mkdir()
    (world.folder / "logs/report_so_far/report_so_far.log").write_text("drawing\n")
    (world.folder / "logs/predict_labels/q2/0.log").write_text("peak memory: 10 MB\n")
    page = world.draw(**files, missing=missing).source
    assert "://" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
    return re.sub(r"\s+", " ", page)


def test_what_is_missing_is_told_by_name(world):
    files = {"predictions": world.predictions, "evaluations": world.evaluations, "mapped": world.mapped}
    files |= {
        "decision": str(world.folder / "calibration.json"),
        "panel": [],
        "labels": str(world.folder / "labels.json"),
    }
    (world.folder / "predictions/q2.parquet").unlink()
    (world.folder / "mapped/q1/1.parquet").unlink()
    there, missing = what_is_there(files)
    assert missing == [
        "the labels of q2",
        "1 of 2 chunks of mapped cells of q1",
        "the calibrated classifiers",
    ]
    assert there["mapped"] == [path for path in world.mapped if "/q1/" not in path]
    assert there["predictions"] == [path for path in world.predictions if "/q2." not in path]
    assert (there["decision"], there["panel"], there["labels"]) == (None, None, files["labels"])


def test_a_query_without_an_answer_is_named_and_not_left_out(world):
    page = draw(world, {"predictions": world.predictions[:2]}, ["the labels of q2"])
    assert "This report is not complete" in page
    assert "<li>the labels of q2</li>" in page
    assert re.search(r"<h3>q2</h3><p><strong>No labels yet", page)
    assert "of 60 cells" in page  # the other query's
    said = html.escape("<the disk> is full")
    assert f"q2/1.log</code>: {said}" in page
    assert "q2/0.log" not in page
    assert "report_so_far.log" not in page


def test_there_is_a_page_when_there_is_hardly_anything(world):
    nothing = {name: [] if name in MANY else None for name in MISSING if name not in ("inspected",)}
    page = draw(world, nothing, ["everything"])
    for said in (
        "No labels yet",
        "No cells with a known truth",
        "Not made yet, or too few",
        "Not trained yet",
    ):
        assert said in page
    assert "genes are not chosen yet" in page
    assert "classifiers are not calibrated yet" in page
    for name in ("reliability.svg", "training.svg", "maps/label.png"):
        assert (world.folder / "figures" / name).stat().st_size > 0


def test_a_finished_run_says_nothing_of_the_kind(world):
    assert "not complete" not in world.draw().source
