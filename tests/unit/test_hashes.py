"""Hashes: the same for the same bytes, at any time and place of writing."""

import json
import os
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.runs.hashes import MADE_FROM, of_files, of_predictions, of_settings


def write(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_folder_is_its_files_names_and_content(tmp_path):
    first = of_files(write(tmp_path / "a", one="1", two="2"))
    assert of_files(write(tmp_path / "b", two="2", one="1")) == first
    os.utime(tmp_path / "a" / "one", (0, 0))
    (tmp_path / "a" / ".snakemake_timestamp").touch()
    assert of_files(tmp_path / "a") == first
    assert of_files(write(tmp_path / "c", one="1", two="3")) != first
    assert of_files(write(tmp_path / "d", one="1", three="2")) != first
    assert of_files(write(tmp_path / "e", one="12", two="")) != first


def test_a_file(tmp_path):
    write(tmp_path / "a", one="1", two="1", three="2")
    assert of_files(tmp_path / "a" / "one") != of_files(tmp_path / "a" / "three")


def write_model(path, weights, about):
    """A file as torch saves it: one record per array of weights, and one for everything else."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", about)
        for number, values in enumerate(weights):
            archive.writestr(f"model/data/{number}", values)
    return of_files(path)


def test_of_a_model_only_the_weights_count(tmp_path):
    first = write_model(tmp_path / "model.pt", [b"1", b"2"], "run of today")
    assert write_model(tmp_path / "model.pt", [b"1", b"2"], "run of tomorrow") == first
    assert write_model(tmp_path / "model.pt", [b"1", b"3"], "run of today") != first


def test_settings_in_any_order():
    assert of_settings({"a": 1, "b": [0.5]}) == of_settings({"b": [0.5], "a": 1})
    assert of_settings({"a": 1}) != of_settings({"a": 2})


def write_predictions(path, made_from):
    table = pa.table({"cell": ["a"]})
    metadata = {MADE_FROM: json.dumps(made_from)} if made_from else None
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return str(path)


def test_predictions_of_one_model(tmp_path):
    paths = [write_predictions(tmp_path / f"{chunk}.parquet", {"model": "x"}) for chunk in range(2)]
    assert of_predictions(paths) == {"model": "x"}


def test_predictions_of_two_models_are_refused(tmp_path):
    paths = [write_predictions(tmp_path / f"{chunk}.parquet", {"model": str(chunk)}) for chunk in range(2)]
    with pytest.raises(RuntimeError, match="were not predicted by the same model"):
        of_predictions(paths)


def test_predictions_that_do_not_say(tmp_path):
    assert of_predictions([write_predictions(tmp_path / "0.parquet", None)]) == {}


def test_labels_that_are_numbers_can_be_hashed_among_text():
    assert of_settings({"rename": {1: "T cell", "b": "B cell"}}) == of_settings(
        {"rename": {"b": "B cell", "1": "T cell"}}
    )
