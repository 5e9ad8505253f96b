"""Coordinates of spatial data: where they are found, what is refused, and how they reach the chunks."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.datasets.dataset import Dataset
from cellferry.errors import InputError
from chunked import convert
from inspecting import inspect, only_problem
from scipy import sparse
from simulate import DATASET_DEFAULTS
from spatial_files import (
    GENES,
    N_CELLS,
    make_counts,
    make_places,
    write_cosmx,
    write_merscope,
    write_xenium,
)

AXES = ["spatial_x", "spatial_y"]


def places_in(chunks):
    """Coordinates in all chunks, float64."""
    frames = [chunk.obs[AXES] for chunk in chunks]
    assert all(frame.dtypes.eq(np.float64).all() for frame in frames)
    return np.concatenate([frame.to_numpy() for frame in frames])


def write_h5ad(path, *, obsm=None, obs=None, n_cells=N_CELLS):
    names = [f"c{n}" for n in range(n_cells)]
    counts = sparse.csr_matrix(make_counts(len(GENES), n_cells).astype(np.float32))
    obs = pd.DataFrame(obs or {}, index=names)
    ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=GENES), obsm=obsm or {}).write_h5ad(path)
    return path


@pytest.mark.parametrize("table", ["cells.parquet", "cells.csv.gz", "cells.csv"])
@pytest.mark.parametrize("named", ["file", "folder"])
def test_xenium_cells_lie_where_the_table_has_them(tmp_path, capsys, table, named):
    counts, places = write_xenium(tmp_path / "run", table=table)
    path = tmp_path / "run" if named == "folder" else tmp_path / "run" / "cell_feature_matrix.h5"
    chunks = convert(path, tmp_path / "chunks")
    assert np.array_equal(places_in(chunks), places)
    n_controls = counts[:, len(GENES) :].sum()
    told = f"control features left out: {n_controls} counts, {n_controls / counts.sum():.2%} of all"
    assert told in capsys.readouterr().out


def test_cosmx_and_merscope_tables_lie_beside_the_counts(tmp_path):
    _, names, places = write_cosmx(tmp_path / "flat", ending=".csv.gz")
    chunks = convert(tmp_path / "flat", tmp_path / "chunks")
    assert np.array_equal(places_in(chunks), places)
    assert [name for chunk in chunks for name in chunk.obs_names] == names
    _, _, places = write_merscope(tmp_path / "region")
    assert np.array_equal(places_in(convert(tmp_path / "region", tmp_path / "more")), places)


def test_cosmx_metadata_as_annotation(tmp_path):
    _, _, places = write_cosmx(tmp_path)
    paths = {
        "path": str(tmp_path / "Slide1_exprMat_file.csv"),
        "obs": str(tmp_path / "Slide1_metadata_file.csv"),
    }
    chunks = convert(
        **paths | {"folder": tmp_path / "chunks"},
        keep_obs=["Area"],
        batch="fov",
        coordinates=["CenterX_local_px", "CenterY_local_px"],
    )
    assert np.allclose(places_in(chunks), places % 4000)
    assert set(pd.concat([chunk.obs for chunk in chunks])["batch"]) == {"blood/1", "blood/2", "blood/3"}
    assert (pd.concat([chunk.obs for chunk in chunks])["Area"] == 7).all()


@pytest.mark.parametrize("file_format", ["h5ad", "zarr", "spatialdata"])
@pytest.mark.parametrize("key", ["spatial", "X_umap3"])
def test_obsm(tmp_path, file_format, key):
    places = np.column_stack([make_places(), np.arange(N_CELLS)])[:, : 2 if key == "spatial" else 3]
    path = write_h5ad(tmp_path / "a.h5ad", obsm={key: places, "X_pca": np.ones((N_CELLS, 5))})
    if file_format != "h5ad":
        store = tmp_path / "a.zarr"
        ad.read_h5ad(path).write_zarr(store / "tables/table" if file_format == "spatialdata" else store)
        path = store
    wanted = {} if key == "spatial" else {"coordinates": f"obsm/{key}"}
    chunks = convert(path, tmp_path / "chunks", **wanted)
    axes = [*AXES, "spatial_z"][: places.shape[1]]
    assert np.array_equal(np.concatenate([chunk.obs[axes].to_numpy() for chunk in chunks]), places)


def test_files_of_a_dataset_are_sections(tmp_path):
    for name in ("a", "b"):
        write_xenium(tmp_path / name)
    chunks = convert([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "chunks")
    obs = pd.concat([chunk.obs for chunk in chunks])
    assert obs["spatial_section"].value_counts().to_dict() == {"a": N_CELLS, "b": N_CELLS}
    assert np.array_equal(obs[AXES].to_numpy(), np.tile(make_places(), (2, 1)))


def test_filter_keeps_places_with_their_cells(tmp_path):
    places = make_places()
    kept = ["yes", "no", "no"] * (N_CELLS // 3)
    path = write_h5ad(tmp_path / "a.h5ad", obsm={"spatial": places}, obs={"kept": kept})
    chunks = convert(path, tmp_path / "chunks", cells={"kept": ["yes"]})
    assert np.array_equal(places_in(chunks), places[::3])


def test_no_coordinates_for_references_and_where_none_are_wanted(tmp_path):
    write_xenium(tmp_path / "run")
    for config in ({"coordinates": "none"}, {"role": "reference"}):
        settings = {**DATASET_DEFAULTS, "role": "query", "path": str(tmp_path / "run"), **config}
        dataset = Dataset("blood", settings)
        assert dataset.coordinate_columns == []
        assert [path for path in dataset.states if "cells" in path] == []


def test_inspection_counts_missing_and_repeated_places(tmp_path):
    places = make_places()
    places[5] = places[4]
    places[:2] = np.nan
    found = inspect(write_h5ad(tmp_path / "a.h5ad", obsm={"spatial": places}))
    assert vars(found.coordinates) == {
        "source": "obsm/spatial",
        "cells": N_CELLS - 2,
        "missing": 2,
        "repeated": 1,
    }
    assert any("2 of 30 cells have no coordinates in obsm/spatial" in warning for warning in found.warnings)
    assert any("1 of 28 cells have the same place as another" in warning for warning in found.warnings)


def test_cells_that_the_table_lacks_have_none(tmp_path):
    _, places = write_xenium(tmp_path / "run", n_placed=N_CELLS - 4)
    found = inspect(tmp_path / "run")
    assert found.coordinates.missing == 4
    written = places_in(convert(tmp_path / "run", tmp_path / "chunks"))
    there = ~np.isnan(written).any(axis=1)
    assert there.sum() == N_CELLS - 4
    assert np.array_equal(written[there], places[there])


def test_inspection_counts_controls(tmp_path, capsys):
    counts, _ = write_xenium(tmp_path / "run")
    found = inspect(tmp_path / "run")
    assert found.genes == len(GENES)
    assert sum(found.controls.kinds.values()) == 7
    assert found.controls.counts == counts[:, len(GENES) :].sum()
    assert found.controls.of_genes == counts[:, : len(GENES)].sum()
    assert "7 control features are left out (negative control probe: 2," in capsys.readouterr().out


def test_two_sources_are_a_warning_that_a_key_ends(tmp_path):
    places = make_places()
    obs = {"x_centroid": places[:, 0] + 1, "y_centroid": places[:, 1]}
    path = write_h5ad(tmp_path / "a.h5ad", obsm={"spatial": places}, obs=obs)
    told = (
        "in obsm/spatial and in obs columns x_centroid, y_centroid; the first are used: name the right ones"
    )
    assert any(told in warning for warning in inspect(path).warnings)
    assert inspect(path, coordinates=["x_centroid", "y_centroid"]).warnings == []
    chunks = convert(path, tmp_path / "chunks", coordinates=["x_centroid", "y_centroid"])
    assert np.array_equal(places_in(chunks), places + np.array([1, 0]))


def test_table_of_cells_that_is_missing_is_a_warning(tmp_path):
    write_xenium(tmp_path / "run", table=None)
    found = inspect(tmp_path / "run")
    assert found.coordinates is None
    assert "coordinates are missing: there is no cells.parquet in" in found.warnings[0]
    assert inspect(tmp_path / "run", coordinates="none").warnings == []


@pytest.mark.parametrize(
    ("obs", "config", "told"),
    [
        ({"x": 1.0}, ["x", "y"], "has no obs column 'y'"),
        ({"x": 1.0, "y": "left"}, ["x", "y"], "holds 'left', which is not a coordinate"),
        ({"x": True, "y": 2.0}, ["x", "y"], "holds 'True', which is not a coordinate"),
        ({"x": np.nan, "y": 2.0}, ["x", "y"], "contains no coordinates for any of the 30 cells"),
        ({}, "obsm/places", "obsm/places of"),
        ({}, "obsm/X_pca", "has 5 columns; name an element with two or three columns, of: X_pca"),
    ],
)
def test_wrong_coordinates(tmp_path, obs, config, told):
    obsm = {"X_pca": np.ones((N_CELLS, 5))}
    path = write_h5ad(
        tmp_path / "a.h5ad", obs={key: [value] * N_CELLS for key, value in obs.items()}, obsm=obsm
    )
    problem = only_problem(inspect(path, coordinates=config))
    assert told in problem
    assert "datasets.blood.coordinates" in problem


def test_table_of_cells_that_is_wrong(tmp_path):
    write_xenium(tmp_path / "run", table="cells.csv")
    table = tmp_path / "run" / "cells.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[3]]) + "\n")
    assert "has more than one row; leave one row per cell" in only_problem(inspect(tmp_path / "run"))
    table.write_text(
        "\n".join([*lines[:3], lines[3].replace(lines[3].split(",")[1], "?"), *lines[4:]]) + "\n"
    )
    assert "the column 'x_centroid' holds '?', which is not a number" in only_problem(
        inspect(tmp_path / "run")
    )
    table.write_text("\n".join(["cell_id,x,y", *(line.rsplit(",", 1)[0] for line in lines[1:])]) + "\n")
    assert "has no column 'x_centroid' for the coordinates" in only_problem(inspect(tmp_path / "run"))
    table.write_text("\n".join([lines[0], *(f"other{line}" for line in lines[1:])]) + "\n")
    assert "contains no coordinates for any of the 30 cells" in only_problem(inspect(tmp_path / "run"))


def test_table_that_changes_after_the_inspection(tmp_path):
    write_xenium(tmp_path / "run", table="cells.csv")
    convert(tmp_path / "run", tmp_path / "chunks")
    settings = {**DATASET_DEFAULTS, "role": "query", "path": str(tmp_path / "run"), "chunks": 3, "jobs": 1}
    before = Dataset("blood", settings).states
    table = tmp_path / "run" / "cells.csv"
    table.write_text(table.read_text() + "\n")
    assert Dataset("blood", settings).states != before


def test_obsm_of_another_length_is_refused(tmp_path):
    import h5py

    path = write_h5ad(tmp_path / "a.h5ad", obsm={"spatial": make_places()})
    with h5py.File(path, "r+") as file:
        del file["obsm/spatial"]
        file["obsm/spatial"] = make_places()[:-3]
    with pytest.raises(InputError, match="obsm/spatial has 27 rows, but obs has 30"):
        convert(path, tmp_path / "chunks")


def test_parquet_table_as_annotation(tmp_path):
    """Cells by name, numbers as numbers, and whole numbers as names of batches."""
    _, places = write_xenium(tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "cells.parquet")
    table["slide"] = np.arange(N_CELLS) % 2 + 1
    table["kept"] = [None, *["a"] * (N_CELLS - 1)]
    # Xenium's first versions wrote names as bytes.
    table["cell_id"] = [name.encode() for name in table["cell_id"]]
    table["nested"] = [[1, 2]] * N_CELLS
    table.to_parquet(tmp_path / "cells.parquet", index=False)
    chunks = convert(
        tmp_path / "run",
        tmp_path / "chunks",
        obs=tmp_path / "cells.parquet",
        keep_obs=["cell_area", "kept"],
        batch="slide",
        coordinates=["x_centroid", "y_centroid"],
    )
    obs = pd.concat([chunk.obs for chunk in chunks])
    assert np.array_equal(obs[AXES].to_numpy(), places)
    assert obs["cell_area"].eq(50.5).all()
    assert set(obs["batch"]) == {"blood/1", "blood/2"}
    assert obs["kept"].isna().sum() == 1
    by_name = table.assign(cell_id=[name.decode() for name in table["cell_id"]]).set_index("cell_id")
    assert [f"blood/{slide}" for slide in by_name.loc[obs.index, "slide"]] == obs["batch"].tolist()


def test_parquet_table_that_is_broken_or_names_a_cell_twice(tmp_path):
    write_xenium(tmp_path / "run")
    path = tmp_path / "run" / "cells.parquet"
    table = pd.read_parquet(path)
    pd.concat([table, table[:1]]).to_parquet(path, index=False)
    assert "has more than one row; leave one row per cell" in only_problem(inspect(tmp_path / "run"))
    path.write_bytes(b"PAR1" + b"\0" * 40)
    assert "is a broken parquet file" in only_problem(inspect(tmp_path / "run"))


def test_coordinates_do_not_depend_on_blocks(tmp_path, monkeypatch):
    _, places = write_xenium(tmp_path / "run")
    monkeypatch.setattr("cellferry.datasets.obs_table.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("cellferry.datasets.parquet_table.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("convert_to_chunks.BLOCK_BYTES", 500)
    assert np.array_equal(places_in(convert(tmp_path / "run", tmp_path / "chunks")), places)
