"""Configuration of spatial data: folders of instruments, tables beside counts, and the key `coordinates`."""

from pathlib import Path

import pytest
from cellferry.config.checks import check
from cellferry.config.samples import sample_files
from cellferry.config.schema import fill_defaults
from cellferry.config.spatial import cell_table, coordinate_tables, counts_in, key_order
from configurations import problems, small_config


def make(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("counts", "table"),
    [
        ("cell_feature_matrix.h5", "cells.parquet"),
        ("GSM12_cell_feature_matrix.h5", "GSM12_cells.csv.gz"),
        ("Slide1_exprMat_file.csv.gz", "Slide1_metadata_file.csv.gz"),
        ("S1_exprMat_file.csv", "S1_metadata_file.csv.gz"),
        ("cell_by_gene.csv", "cell_metadata.csv"),
        ("cell_by_gene_S1R1.csv", "cell_metadata_S1R1.csv"),
    ],
)
def test_table_of_an_instrument(tmp_path, counts, table):
    folder = make(tmp_path / "run", counts, table, "morphology.ome.tif")
    assert cell_table(folder / counts).paths == [folder / table]
    assert counts_in(folder) == folder / counts
    assert sample_files(str(folder)) == {"": folder / counts}
    assert coordinate_tables([folder / counts], "auto", "query") == [folder / table]
    for coordinates, role in (
        ("none", "query"),
        (["x", "y"], "query"),
        ("obsm/s", "query"),
        ("auto", "reference"),
    ):
        assert coordinate_tables([folder / counts], coordinates, role) == []


def test_other_files_have_no_table(tmp_path):
    folder = make(tmp_path / "run", "filtered_feature_bc_matrix.h5", "cells.csv", "cell_metadata.csv")
    assert cell_table(folder / "filtered_feature_bc_matrix.h5") is None
    assert counts_in(folder) is None
    assert sample_files(str(folder)) == {"": folder}


def test_folder_with_several_counts_is_ambiguous(tmp_path):
    folder = make(tmp_path / "run", "a_exprMat_file.csv", "b_exprMat_file.csv")
    assert counts_in(folder) is None


def test_folders_are_samples_by_their_names(tmp_path):
    for name in ("a", "b"):
        make(tmp_path / name, "cell_feature_matrix.h5", "cells.parquet")
    expected = {name: tmp_path / name / "cell_feature_matrix.h5" for name in ("a", "b")}
    assert sample_files([str(tmp_path / "a"), str(tmp_path / "b")]) == expected
    assert sample_files(str(tmp_path / "*")) == expected
    assert sample_files({"a": str(tmp_path / "a"), "b": str(tmp_path / "b")}) == expected


def test_columns_that_name_cells_of_cosmx():
    assert key_order(["fov", "cell_ID", "A"]) == (1, 0)
    assert key_order(["Cell_ID", "fov"]) == (0, 1)
    assert key_order(["cell", "fov", "cell_ID"]) is None


@pytest.mark.parametrize("value", ["auto", "none", "obsm/spatial", ["x", "y"], ["x", "y", "z"]])
def test_values_of_coordinates(tmp_path, value):
    config = small_config(tmp_path)
    (tmp_path / "places.csv").write_text("cell,x,y,z\na,1,2,3\n")
    config["datasets"]["patients"] |= {"coordinates": value, "obs": str(tmp_path / "places.csv")}
    check(config, config_files=[])
    fill_defaults(config)
    assert config["datasets"]["patients"]["coordinates"] == value


@pytest.mark.parametrize("value", ["spatial", "obsm/", ["x"], ["x", "x"], list("xyzt"), 3])
def test_wrong_values_of_coordinates(tmp_path, value):
    config = small_config(tmp_path)
    config["datasets"]["patients"]["coordinates"] = value
    assert "datasets.patients.coordinates" in problems(config)


def test_column_that_the_table_lacks_and_coordinates_of_a_reference(tmp_path):
    config = small_config(tmp_path)
    (tmp_path / "slide_metadata_file.csv").write_text("fov,cell_ID,CenterX_global_px\n1,1,2\n")
    config["datasets"]["patients"] |= {
        "coordinates": ["CenterX_global_px", "CenterY_global_px"],
        "obs": str(tmp_path / "slide_metadata_file.csv"),
        "batch": "fov",
    }
    told = problems(config)
    assert "has no obs column 'CenterY_global_px' (did you mean 'CenterX_global_px'?)" in told
    assert "'fov'" not in told
    config = small_config(tmp_path)
    config["datasets"]["atlas"]["coordinates"] = ["cell_type", "donor"]
    assert "coordinates are written to labeled files, which a reference does not have" in problems(config)


def test_pattern_names_counts_themselves(tmp_path):
    for name in ("a", "b"):
        make(tmp_path / name, "cell_feature_matrix.h5")
    files = sample_files(str(tmp_path / "*" / "cell_feature_matrix.h5"))
    assert files == {name: Path(tmp_path / name / "cell_feature_matrix.h5") for name in ("a", "b")}
