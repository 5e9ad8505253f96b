"""The report's maps of spatial data: labels over coordinates, section by section."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.inspection import InspectedControls, InspectedCoordinates
from cellferry.report import figures, sections
from cellferry.report.sections import draw_sections, sections_of
from report_world import LABELS, World

N_CELLS = 60


def write_labeled(folder, *, names, column="spatial_section", places=None, query="q1"):
    """A labeled file, and its predictions; the cell's number is its x, and its label's number."""
    places = np.column_stack([np.arange(len(names)), np.zeros(len(names))]) if places is None else places
    path = folder / f"{query}.h5ad"
    with H5adWriter(path, pd.DataFrame(index=["g"]), portable=True, counts=False) as writer:
        obs = {
            "batch": np.full(len(names), f"{query}/all", dtype=object),
            column: np.array(names, dtype=object),
        }
        writer.append(None, np.array([f"c{n}" for n in range(len(names))], dtype=object), obs)
        if len(places):
            writer.write_obsm({"spatial": places.shape[1]}, iter([{"spatial": places}]), dtype=np.float64)
    predicted = folder / f"{query}.parquet"
    pq.write_table(pa.table({"label": [f"l{n}" for n in range(len(names))]}), predicted)
    return str(path), str(predicted)


def test_files_are_sections_with_their_own_cells(tmp_path):
    found, n = sections_of(*write_labeled(tmp_path, names=["b", "a"] * 30), "q1", seed=0)
    assert (n, [section.name for section in found]) == (2, ["a", "b"])
    for first, section in zip((1, 0), found, strict=True):
        assert section.cells == 30
        assert section.places[:, 0].tolist() == list(range(first, 60, 2))
        assert section.labels.tolist() == [f"l{n}" for n in range(first, 60, 2)]


def test_batches_are_sections_of_a_single_file(tmp_path):
    found, _ = sections_of(
        *write_labeled(tmp_path, names=["q1/m1", "q1/m2"] * 30, column="batch"), "q1", seed=0
    )
    assert [section.name for section in found] == ["m1", "m2"]


def test_cells_without_coordinates_are_left_out(tmp_path):
    places = np.column_stack([np.arange(60.0), np.ones(60), np.ones(60)])
    places[:10, 1] = np.nan
    found, _ = sections_of(*write_labeled(tmp_path, names=["a"] * 60, places=places), "q1", seed=0)
    assert found[0].cells == 50
    assert found[0].places.shape == (50, 2)
    assert found[0].labels[0] == "l10"


def test_large_sections_are_drawn_from_and_small_ones_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "MAX_CELLS", 20)
    monkeypatch.setattr(sections, "MAX_SECTIONS", 2)
    monkeypatch.setattr(sections, "CELLS_AT_ONCE", 7)
    files = write_labeled(tmp_path, names=["a"] * 5 + ["b"] * 40 + ["c"] * 15)
    found, n = sections_of(*files, "q1", seed=0)
    assert n == 3
    assert [(section.name, section.cells, len(section.labels)) for section in found] == [
        ("b", 40, 10),
        ("c", 15, 10),
    ]
    for section in found:
        assert section.labels.tolist() == [f"l{x:.0f}" for x in section.places[:, 0]]
    again, _ = sections_of(*files, "q1", seed=0)
    assert np.array_equal(found[0].places, again[0].places)


@pytest.mark.parametrize("n_panels", [1, 2, 5])
def test_y_points_downwards_and_scales_are_equal(n_panels):
    panels = [(f"s{n}", np.array([[0.0, 0.0], [10.0, 5.0]]), np.array(["T", "x"])) for n in range(n_panels)]
    figure = figures.map_of_sections(panels, {"T": "#FF0000", "absent": "#00FF00"})
    assert [axes.get_title() for axes in figure.axes] == [f"s{n}" for n in range(n_panels)]
    for axes in figure.axes:
        bottom, top = axes.get_ylim()
        assert bottom > top
        assert axes.get_aspect() == 1
    shown = [
        text.get_text().strip("\u200b")
        for axes in figure.axes
        if axes.get_legend()
        for text in axes.get_legend().get_texts()
    ]
    assert shown == ["T"]


def test_page_shows_sections_and_controls(tmp_path):
    world = World(tmp_path, queries=["q1", "q2"], scored=["test"], labels=LABELS)
    (tmp_path / "labeled").mkdir()
    files = [write_labeled(tmp_path / "labeled", names=["a", "b"] * 30, query=query)[0] for query in ("q1",)]
    files.append(
        write_labeled(tmp_path / "labeled", names=["a"] * 60, places=np.empty((0, 2)), query="q2")[0]
    )
    seen = {
        "controls": InspectedControls({"blank codeword": 3}, 50, 5.0, 95.0),
        "coordinates": InspectedCoordinates("obsm/spatial", 60, 4, 0),
    }
    world.change_inspection("q1", **seen)
    page = world.draw(labeled=files)
    section = page.section("q1 in space")
    assert (
        "Labels of 60 of 60 cells over their coordinates (obsm/spatial), a panel per section" in section.text
    )
    assert "4 cells have no coordinates" in section.text
    assert 'src="data:image/png;base64,' in section.source
    assert "q2 in space" not in page.text
    assert page.section("Controls of panels").row("q1") == ["q1", "3", "blank codeword: 3", "5.0%", "50"]
    assert [path.name for path in (tmp_path / "figures" / "spatial").iterdir()] == ["q1.png"]


def test_no_query_with_coordinates_leaves_an_empty_folder(tmp_path):
    assert draw_sections({}, {}, {}, tmp_path / "spatial", seed=0) == {}
    assert (tmp_path / "spatial").is_dir()
