"""Text without quotes keeps the form in which users wrote it."""

import datetime
import json

import pytest
import yaml
from cellferry.config.checks import check
from cellferry.config.schema import load_schema
from cellferry.core.yaml_text import restore_text
from cellferry.errors import InputError

WORDS = [
    "1",
    "003",
    "010",
    "1.0",
    "1_000",
    "12:30",
    "no",
    "yes",
    "ON",
    "off",
    "true",
    "2024-01-02",
    "0x1F",
    "~x",
]


def restored(tmp_path, *texts):
    """The configuration from several files, merged like in Snakemake."""
    config, paths = {}, []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
        for key, value in yaml.safe_load(text).items():
            if isinstance(value, dict):
                config.setdefault(key, {}).update(value)
            else:
                config[key] = value
    restore_text(config, list(map(str, paths)), load_schema())
    return config


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("datasets: {WORD: {role: query, path: a}}", lambda c: [*c["datasets"]]),
        ("datasets: {a: {path: {WORD: a.h5ad}}}", lambda c: [*c["datasets"]["a"]["path"]]),
        ("datasets: {a: {path: {s: WORD}}}", lambda c: [*c["datasets"]["a"]["path"].values()]),
        ("datasets: {a: {path: [WORD]}}", lambda c: c["datasets"]["a"]["path"]),
        ("datasets: {a: {path: WORD}}", lambda c: [c["datasets"]["a"]["path"]]),
        ("datasets: {a: {label: WORD}}", lambda c: [c["datasets"]["a"]["label"]]),
        ("datasets: {a: {batch: WORD}}", lambda c: [c["datasets"]["a"]["batch"]]),
        ("datasets: {a: {keep_obs: [WORD]}}", lambda c: c["datasets"]["a"]["keep_obs"]),
        ("datasets: {a: {levels: [WORD]}}", lambda c: c["datasets"]["a"]["levels"]),
        ("datasets: {a: {cells: {WORD: [x]}}}", lambda c: [*c["datasets"]["a"]["cells"]]),
        ("labels: {rename: {WORD: x}}", lambda c: [*c["labels"]["rename"]]),
        ("labels: {parents: {WORD: x}}", lambda c: [*c["labels"]["parents"]]),
        ("labels: {ontology: {WORD: x}}", lambda c: [*c["labels"]["ontology"]]),
        ("labels: {missing: [WORD]}", lambda c: c["labels"]["missing"]),
        ("cytometry: {markers: {WORD: x}}", lambda c: [*c["cytometry"]["markers"]]),
        ("genes: {keep: [WORD]}", lambda c: c["genes"]["keep"]),
    ],
)
def test_where_only_text_is_meant_it_is_text(tmp_path, word, text, found):
    assert found(restored(tmp_path, text.replace("WORD", word))) == [word]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("no", "no"),
        ("ON", "ON"),
        ("true", True),
        ("False", False),
        ("1", 1),
        ("1.5", 1.5),
        ("1.0", 1.0),
        ("0.50", 0.5),
        ("+10", 10),
        (".5", 0.5),
        ("1.0e+3", 1000.0),
        ("1_000", "1_000"),
        ("003", "003"),
        ("12:30", "12:30"),
        ("2024-01-02", "2024-01-02"),
        ("'1'", "1"),
    ],
)
def test_where_values_may_be_numbers_or_booleans_their_spelling_tells(tmp_path, word, expected):
    config = restored(tmp_path, f"datasets: {{a: {{cells: {{qc: [{word}]}}}}}}")
    (found,) = config["datasets"]["a"]["cells"]["qc"]
    assert (found, type(found)) == (expected, type(expected))
    if not isinstance(expected, bool):
        config = restored(tmp_path, f"labels: {{rename: {{x: {word}}}}}")
        assert config["labels"]["rename"] == {"x": expected}


def test_numbers_stay_numbers(tmp_path):
    text = "seed: 3\nmodel: {epochs: 010, learning_rate: 1.0e-3, early_stopping: no}\ngenes: {map: null}"
    assert restored(tmp_path, text) == yaml.safe_load(text)


def test_json_with_tabs(tmp_path):
    config = {"labels": {"rename": {"x": "y"}}}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(config, indent="\t"))
    restore_text(config, [str(path)], load_schema())
    assert config == {"labels": {"rename": {"x": "y"}}}
    with pytest.raises(InputError, match="the key 'datasets' is missing"):
        check(config, config_files=[str(path)])


def test_maps_that_are_merged_into_others(tmp_path):
    text = "datasets:\n  a: &a {role: query, path: no, batch: 003}\n  b: {<<: *a, path: on}\n"
    config = restored(tmp_path, text)
    assert config["datasets"]["b"] == {"role": "query", "path": "on", "batch": "003"}
    with pytest.raises(InputError) as refused:
        check(config, config_files=[str(tmp_path / "0.yaml")])
    assert "twice" not in str(refused.value)


def test_a_later_file_and_the_command_line_count(tmp_path):
    config = restored(tmp_path, "labels: {rename: {no: on, ON: x}}", "labels: {rename: {no: off}}")
    assert config == {"labels": {"rename": {"no": "off"}}}  # the section comes from the second file only
    config = {"labels": {"rename": {"x": "y"}}}
    (tmp_path / "a.yaml").write_text("labels: {rename: {x: no}}")
    restore_text(config, [str(tmp_path / "a.yaml")], load_schema())
    assert config == {"labels": {"rename": {"x": "y"}}}


@pytest.mark.parametrize("value", [True, datetime.date(2024, 1, 2)])
def test_what_cannot_be_restored_is_refused(value):
    """For example from the command line."""
    datasets = {"a": {"role": "query", "path": "a", "label": value}}
    for config, place in (
        ({"datasets": datasets}, "datasets.a.label"),
        ({"datasets": {}, "labels": {"rename": {"x": value}}}, "labels.rename.x"),
    ):
        with pytest.raises(InputError) as refused:
            check(config, config_files=[])
        assert f"{place}: {value!r} is not text; write it in quotes" in str(refused.value)
    with pytest.raises(InputError, match=r"labels\.rename: the name .* is not text; write it in quotes"):
        check({"datasets": {}, "labels": {"rename": {value: "x"}}}, config_files=[])


def test_two_words_that_are_one_key_to_yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("labels: {rename: {1: x, yes: y}}")
    with pytest.raises(InputError, match="the key 'yes' is given twice in one place"):
        check(yaml.safe_load(path.read_text()), config_files=[str(path)])


def test_a_section_of_a_file(tmp_path):
    """As a workflow holds it that passes a part of its configuration to this one."""
    path = tmp_path / "config.yaml"
    path.write_text("1: {mine: {datasets: {no: {label: 003}}}}\ndatasets: {a: {label: 004}}\n")
    config = yaml.safe_load(path.read_text())[1]["mine"]
    restore_text(config, [str(path)], load_schema(), (1, "mine"))
    assert config == {"datasets": {"no": {"label": "003"}}}
    nowhere = {"datasets": {"a": {"label": 4}}}
    restore_text(nowhere, [str(path)], load_schema(), (1, "other"))
    assert nowhere == {"datasets": {"a": {"label": 4}}}
