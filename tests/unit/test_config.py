"""The configuration: defaults, all problems together, docs that agree with the schema."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cellferry.config.checks import check, find_problems
from cellferry.config.schema import fill_defaults, load_schema
from cellferry.core.problems import Problem
from cellferry.errors import InputError
from configurations import problems, small_config
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path):
    return small_config(tmp_path)


def test_schema_is_valid_and_complete():
    schema = load_schema()
    Draft202012Validator.check_schema(schema)
    for properties in walk_properties(schema):
        for key, value in properties.items():
            assert value.get("description"), key


def walk_properties(schema):
    for part in (schema, schema["$defs"]["dataset"]):
        yield part["properties"]
        yield from (value["properties"] for value in part["properties"].values() if "properties" in value)


def test_every_key_that_is_not_required_has_a_valid_default():
    schema = load_schema()
    for part in (schema, schema["$defs"]["dataset"]):
        for key, value in part["properties"].items():
            if key not in part.get("required", []):
                assert "default" in value, key
                Draft202012Validator(value).validate(value["default"])


def test_minimal_config_is_enough(config):
    check(config, config_files=[])
    fill_defaults(config)
    assert config["datasets"]["patients"]["chunks"] == 1  # of a missing file
    assert config["genes"]["n_variable"] == 4000
    assert config["model"]["n_latent"] == 30
    assert config["model"]["batch_size"] == 512


def test_defaults_are_not_shared_between_datasets(config):
    fill_defaults(config)
    config["datasets"]["atlas"]["keep_obs"].append("sex")
    assert config["datasets"]["patients"]["keep_obs"] == []


def test_given_values_are_kept(config):
    config["model"] = {"n_latent": 10}
    fill_defaults(config)
    assert config["model"]["n_latent"] == 10
    assert config["model"]["n_layers"] == 2


def test_all_problems_are_listed_at_once(config, tmp_path):
    config["datasets"]["atlas"]["labell"] = "x"
    config["datasets"]["patients"]["path"] = str(tmp_path / "nowhere.h5ad")
    config["model"] = {"epochs": "many"}
    config["color"] = "red"
    message = problems(config)
    assert "4 problem(s)" in message
    assert "no key 'labell' (did you mean 'label'?)" in message
    assert "datasets.patients.path: there is no file or folder" in message
    assert "model.epochs: 'many' is not auto or integer" in message
    assert "no key 'color'" in message


def test_problems_are_records_with_their_key_and_remedy(config):
    assert find_problems(config, config_files=[]) == []
    config["datasets"]["patients"].update(obs_by="order")
    config["labels"] = {"rename": "labels.csv", "parents": {"T": "T"}}
    first, second, third = find_problems(config, config_files=[])
    where = "datasets.patients"
    remedy = f"name it in {where}.obs, or remove the key"
    assert first == Problem(f"{where}.obs_by", "has no effect without a table", remedy)
    assert (second.where, second.what[:11]) == ("labels.rename", "labels.csv:")
    assert third == Problem("labels.parents", "contains a circle, T → T", "remove one of them")
    listed = "\n".join(f"  - {problem}" for problem in (first, second, third))
    assert problems(config) == f"the configuration has 3 problem(s):\n{listed}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["datasets"]["atlas"].pop("label"), "datasets.atlas.label: a reference needs"),
        (
            lambda c: c["datasets"]["atlas"].update(role="query"),
            "at least one dataset needs `role: ref",
        ),
        (lambda c: c["datasets"].pop("patients"), "at least one dataset needs `role: query` or"),
        (
            lambda c: c["datasets"]["patients"].update(role="evaluate"),
            "datasets.patients.label: a dataset to evaluate needs",
        ),
        (
            lambda c: c["datasets"]["atlas"].update(chunks=0),
            "datasets.atlas.chunks: 0 is not auto or integer of at least 1",
        ),
        (lambda c: c["datasets"]["atlas"].update(counts=""), "datasets.atlas.counts"),
        (lambda c: c["datasets"]["patients"].pop("path"), "datasets.patients: the key 'path' is missing"),
        (lambda c: c["datasets"].update({"a b": c["datasets"].pop("patients")}), "'a b' cannot be"),
        (lambda c: c["datasets"].update({"test": c["datasets"].pop("patients")}), "'test' cannot be"),
        (lambda c: c["datasets"].update(reference=c["datasets"].pop("atlas")), "'reference' cannot be"),
        (lambda c: c.update(prediction={"heads": ["scanvi"]}), "prediction.heads: [scanvi] leaves no head"),
        (
            lambda c: c.update(prediction={"heads": ["cytovi", "expression_xgboost"]}),
            "[cytovi, expression_xgboost] leaves no head to predict with: cytovi and "
            "expression_xgboost need the modality cytometry; add another head",
        ),
        (
            lambda c: c.update(
                modality="cytometry", model={"type": "scanvi"}, prediction={"heads": ["scanvi"]}
            ),
            "prediction.heads: [scanvi] leaves no head",
        ),
        (lambda c: c.update(modality="atac"), "modality: 'atac' is not one of"),
        (lambda c: c.update(prediction={"heads": []}), "prediction.heads: [] should be non-empty"),
        (lambda c: c.update(prediction={"max_error": 0}), "prediction.max_error: 0 is less than or equal"),
        (lambda c: c.update(genes={"map": "no.csv"}), "genes.map: there is no file no.csv"),
        (lambda c: c["datasets"]["atlas"].update(label="celltype"), "did you mean 'cell_type'?"),
        (lambda c: c["datasets"]["atlas"].update(batch="lane"), "datasets.atlas.batch"),
        (lambda c: c["datasets"]["atlas"].update(cells={"qc": ["ok"]}), "datasets.atlas.cells.qc"),
        (lambda c: c["datasets"]["atlas"].update(keep_obs=["sex"]), "datasets.atlas.keep_obs.sex"),
        (lambda c: c["datasets"]["patients"].update(label="cell_type"), "it has: none"),
        (lambda c: c.update(labels={"rename": "no.csv"}), "labels.rename: no.csv: there is no such file"),
        (lambda c: c.update(labels={"rename": {"a": "b", "b": "c"}}), "'a' becomes 'b', and 'b' becomes 'c'"),
        (lambda c: c.update(labels={"parents": {"T": "T"}}), "labels.parents: contains a circle"),
        (lambda c: c.update(labels={"ontology": {"T": "84"}}), "'84', given to 'T', is not an id"),
        (lambda c: c["datasets"]["atlas"].update(levels=["lineage"]), "datasets.atlas.levels.lineage"),
        (lambda c: c["datasets"]["patients"].update(levels=["donor"]), "levels: only a reference has levels"),
        (
            lambda c: c["datasets"]["atlas"].update(levels=["cell_type"]),
            "'cell_type' is the name of the labels",
        ),
        (
            lambda c: (
                c.update(labels={"parents": {"T": "lymphoid"}})
                or c["datasets"]["atlas"].update(levels=["donor"])
            ),
            "datasets.atlas.levels: labels.parents already gives coarser labels",
        ),
        (lambda c: c.pop("datasets"), "the key 'datasets' is missing"),
        (lambda c: c.update(datasets="atlas"), "datasets: 'atlas' is not of type 'object'"),
    ],
)
def test_a_mistake_is_named(config, change, said):
    config = copy.deepcopy(config)
    change(config)
    assert said in problems(config)


def test_a_dataset_named_twice_is_found(config, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config).replace("patients:", "atlas:"))
    twice = yaml.safe_load(path.read_text())
    assert "the key 'atlas' is given twice" in problems(twice, str(path))


def test_columns_of_an_h5ad_are_checked_before_anything_runs(config, tmp_path):
    import anndata as ad
    import numpy as np
    import pandas as pd

    path = tmp_path / "query.h5ad"
    obs = pd.DataFrame({"sample": ["1", "2"]}, index=["a", "b"])
    ad.AnnData(np.ones((2, 3), dtype=np.float32), obs=obs).write_h5ad(path)
    config["datasets"]["patients"].update(path=str(path), batch="samples")
    assert "has no obs column 'samples' (did you mean 'sample'?); it has: sample" in problems(config)


def test_an_h5ad_is_known_by_its_content(config, tmp_path):
    test_columns_of_an_h5ad_are_checked_before_anything_runs(config, tmp_path)
    (tmp_path / "query.h5ad").rename(tmp_path / "query.hdf5")
    config["datasets"]["patients"].update(path=str(tmp_path / "query.hdf5"), batch="sample")
    check(config, config_files=[])


def test_links_are_followed_by_h5py(config, monkeypatch):
    config["datasets"]["patients"]["follow_links"] = True
    check(config, config_files=[])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "datasets.patients.follow_links: external links need h5py" in problems(config)


def test_a_table_with_semicolons_is_read(config, tmp_path):
    (tmp_path / "obs.csv").write_text("cell;cell_type;donor\na;T;1\n")
    check(config, config_files=[])


def test_a_name_that_yaml_takes_for_a_number(config):
    config["datasets"][2023] = config["datasets"].pop("patients")
    assert "datasets: the name 2023 is not text; write it in quotes" in problems(config)


def test_an_alias_within_what_it_stands_for(config):
    config["seeds"] = [[]]
    config["seeds"][0].append(config["seeds"])
    assert "there is no key 'seeds' (did you mean 'seed'?)" in problems(config)


def test_files_a_rule_makes_need_not_exist(config):
    config["datasets"]["patients"]["path"] = "./resources/demo/query/"
    check(config, config_files=[], made_by_rules=["resources/demo/query"])
    config["datasets"]["patients"]["path"] = "resources/demo/mine.h5ad"
    with pytest.raises(InputError, match=r"no file or folder resources/demo/mine\.h5ad"):
        check(config, config_files=[], made_by_rules=["resources/demo/query"])


def test_the_key_table_of_the_readme_is_the_schema():
    table = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "key_table.py")],
        env={"PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert table in (ROOT / "config" / "README.md").read_text(encoding="utf-8")


def test_by_order_no_column_of_a_table_holds_names(config):
    """The first one can be the label."""
    config["datasets"]["atlas"] |= {"label": "cell", "obs_by": "order"}
    check(config, config_files=[])
    config["datasets"]["atlas"]["obs_by"] = "name"
    assert "has no obs column 'cell'" in problems(config)
