"""The configuration: defaults, all problems at once in plain words, docs that agree with the schema."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cellferry.config.checks import check
from cellferry.config.schema import fill_defaults, load_schema
from cellferry.errors import InputError
from jsonschema import Draft202012Validator
from placeholders import write_earlier_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path):
    for name in ("reference.csv", "query.csv"):
        (tmp_path / name).write_text("cell,gene\n")
    obs = tmp_path / "obs.csv"
    obs.write_text("cell,cell_type,donor\na,T,1\n")
    return {
        "datasets": {
            "atlas": {
                "role": "reference",
                "path": str(tmp_path / "reference.csv"),
                "obs": str(obs),
                "label": "cell_type",
            },
            "patients": {"role": "query", "path": str(tmp_path / "query.csv")},
        }
    }


def problems(config, *files):
    with pytest.raises(InputError) as raised:
        check(config, config_files=list(files))
    return str(raised.value)


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
    assert config["datasets"]["patients"]["chunks"] == 25
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
    config["colour"] = "red"
    message = problems(config)
    assert "4 problem(s)" in message
    assert "no key 'labell' (did you mean 'label'?)" in message
    assert "datasets.patients.path: there is no file or folder" in message
    assert "model.epochs: 'many' is not auto or integer" in message
    assert "no key 'colour'" in message


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
        (lambda c: c["datasets"]["atlas"].update(chunks=0), "datasets.atlas.chunks: 0 is less than"),
        (lambda c: c["datasets"]["atlas"].update(counts=""), "datasets.atlas.counts"),
        (lambda c: c["datasets"]["patients"].pop("path"), "datasets.patients: the key 'path' is missing"),
        (lambda c: c["datasets"].update({"a b": c["datasets"].pop("patients")}), "'a b' cannot be"),
        (lambda c: c["datasets"].update({"test": c["datasets"].pop("patients")}), "'test' cannot be"),
        (lambda c: c["datasets"].update(reference=c["datasets"].pop("atlas")), "'reference' cannot be"),
        (lambda c: c.update(prediction={"heads": ["scanvi"]}), "prediction.heads: [scanvi] leaves nothing"),
        (
            lambda c: c.update(prediction={"heads": ["cytovi", "expression_xgboost"]}),
            "[cytovi, expression_xgboost] leaves nothing to predict with, since cytovi and "
            "expression_xgboost take cytometry (modality); name another head too",
        ),
        (
            lambda c: c.update(
                modality="cytometry", model={"type": "scanvi"}, prediction={"heads": ["scanvi"]}
            ),
            "prediction.heads: [scanvi] leaves nothing",
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
        (lambda c: c.update(labels={"parents": {"T": "T"}}), "labels.parents: goes round in a circle"),
        (lambda c: c.update(labels={"ontology": {"T": "84"}}), "'84', given to 'T', is no id"),
        (lambda c: c["datasets"]["atlas"].update(levels=["lineage"]), "datasets.atlas.levels.lineage"),
        (lambda c: c["datasets"]["patients"].update(levels=["donor"]), "levels: only a reference has levels"),
        (lambda c: c["datasets"]["atlas"].update(levels=["cell_type"]), "'cell_type' is what the labels"),
        (
            lambda c: (
                c.update(labels={"parents": {"T": "lymphoid"}})
                or c["datasets"]["atlas"].update(levels=["donor"])
            ),
            "datasets.atlas.levels: labels.parents gives coarser labels already",
        ),
        (lambda c: c.pop("datasets"), "the key 'datasets' is missing"),
        (lambda c: c.update(datasets="atlas"), "datasets: 'atlas' is not of type 'object'"),
    ],
)
def test_a_mistake_is_named(config, change, said):
    config = copy.deepcopy(config)
    change(config)
    assert said in problems(config)


@pytest.fixture
def trained_before(config, tmp_path):
    """A configuration with the results of an earlier run in place of a reference."""
    write_earlier_run(tmp_path / "earlier")
    del config["datasets"]["atlas"]
    return config | {"pretrained": str(tmp_path / "earlier")}


def test_the_results_of_an_earlier_run_take_the_place_of_a_reference(trained_before):
    check(trained_before, config_files=[])


def test_what_is_missing_of_an_earlier_run_is_listed(trained_before, tmp_path):
    (tmp_path / "earlier/reference/rules.json").unlink()
    (tmp_path / "earlier/genes.tsv").unlink()
    said = problems(trained_before)
    assert "has no genes.tsv, reference/rules.json; name the folder" in said
    assert str(tmp_path / "earlier") in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 99}', "holds results of format 99, and this version reads format 1; run it again with"),
        ('{"labels"', "labels.json cannot be read ("),
    ],
)
def test_an_earlier_run_of_another_format_or_cut_off(trained_before, tmp_path, text, said):
    (tmp_path / "earlier/reference/labels.json").write_text(text)
    assert said in problems(trained_before)


def test_a_reference_beside_an_earlier_runs(trained_before, config):
    trained_before["datasets"]["atlas"] = config["datasets"]["patients"] | {"role": "reference", "label": "x"}
    assert "datasets.atlas.role: a run with `pretrained` has its reference already" in problems(
        trained_before
    )


def test_its_own_results_are_no_earlier_runs(trained_before, tmp_path, monkeypatch):
    (tmp_path / "earlier").rename(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    assert "where this run writes its own results" in problems(trained_before | {"pretrained": "results"})


@pytest.fixture
def imported(config, tmp_path):
    """A configuration with a model of others in place of a reference."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.pt").touch()
    (tmp_path / "cells.csv").write_text("cell,cell_type,donor,latent_0\na,B,d,1\n")
    del config["datasets"]["atlas"]
    given = {"model": str(tmp_path / "model"), "latents": str(tmp_path / "cells.csv"), "label": "cell_type"}
    return config | {"pretrained": given}


def test_a_model_of_others_takes_the_place_of_a_reference(imported):
    check(imported, config_files=[])
    fill_defaults(imported)
    assert imported["pretrained"]["batch"] is None
    assert imported["pretrained"]["key"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "nowhere"}, "has no file model.pt; name the folder"),
        ({"latents": "nowhere.h5ad"}, "pretrained.latents: there is no file nowhere.h5ad"),
        ({"label": "celltype"}, "has no column 'celltype' (did you mean 'cell_type'?)"),
        ({"batch": "sample"}, "pretrained.batch: "),
        ({"genes": "x"}, "pretrained: there is no key 'genes'"),
        ({"label": None}, "pretrained.label: None is not of type 'string'"),
    ],
)
def test_a_mistake_in_a_model_of_others_is_named(imported, change, said):
    imported["pretrained"] |= change
    assert said in problems(imported)


@pytest.fixture
def imported_cytovi(imported, tmp_path):
    """A configuration with a CytoVI model of others, and how its values were scaled."""
    (tmp_path / "scaling.csv").write_text("marker,low,high\nCD3,0.1,5\n")
    imported["pretrained"]["scaling"] = str(tmp_path / "scaling.csv")
    return imported | {"modality": "cytometry"}


def test_a_cytovi_model_comes_with_its_scaling(imported_cytovi):
    check(imported_cytovi, config_files=[])
    fill_defaults(imported_cytovi)
    assert imported_cytovi["pretrained"]["backbone"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scaling": "nowhere.csv"}, "pretrained.scaling: there is no file nowhere.csv"),
        ({"scaling": "cells.csv"}, "has no column marker, low, high; it has: cell, cell_type, donor"),
        ({"backbone": []}, "pretrained.backbone: [] "),
        ({"backbone": "CD3"}, "pretrained.backbone: 'CD3' is not of type 'array', 'null'"),
    ],
)
def test_a_mistake_in_the_scaling_of_a_model_is_named(imported_cytovi, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    imported_cytovi["pretrained"] |= change
    assert said in problems(imported_cytovi)


def test_a_model_that_says_how_it_is_scaled_is_not_told(imported_cytovi, tmp_path):
    (tmp_path / "model/transformation.json").touch()
    assert "holds a transformation.json that says how values are scaled" in problems(imported_cytovi)


def test_only_intensities_are_scaled(imported_cytovi):
    said = problems(imported_cytovi | {"modality": "rna"})
    assert "pretrained.scaling: has no effect where modality is rna" in said


def test_what_a_model_of_others_needs(imported):
    del imported["pretrained"]["label"]
    assert "pretrained: the key 'label' is missing" in problems(imported)


@pytest.mark.parametrize("heads", [["expression"], ["expression", "expression_xgboost"]])
def test_expression_alone_takes_counts(imported, heads):
    for modality in ("rna", "cytometry"):
        said = problems(imported | {"prediction": {"heads": heads}, "modality": modality})
        assert f"[{', '.join(heads)}] leaves nothing to predict with, since a model of others" in said


def test_cytovis_vote_takes_no_counts(imported):
    check(
        imported | {"prediction": {"heads": ["cytovi"]}, "modality": "cytometry"},
        config_files=[],
    )


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


def test_a_table_with_semicolons_is_read(config, tmp_path):
    (tmp_path / "obs.csv").write_text("cell;cell_type;donor\na;T;1\n")
    check(config, config_files=[])


def test_a_name_that_yaml_takes_for_a_number(config):
    config["datasets"][2023] = config["datasets"].pop("patients")
    assert "datasets: the name 2023 is not text; write it in quotes" in problems(config)


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


# --- cytometry ------------------------------------------------------------------------------------------


def test_defaults_of_cytometry(config):
    config["modality"] = "cytometry"
    check(config, config_files=[])
    fill_defaults(config)
    assert (config["model"]["type"], config["model"]["n_layers"]) == ("cytovi", 1)
    assert config["model"]["n_latent"] == "auto"  # depends on the markers
    assert config["cytometry"] == {"markers": {}, "cofactor": "auto"}
    assert config["datasets"]["atlas"]["obs_by"] == "name"


def test_given_values_are_kept_for_cytometry(config):
    config |= {"modality": "cytometry", "model": {"n_latent": 7, "type": "cytovi"}}
    fill_defaults(config)
    assert (config["model"]["n_latent"], config["model"]["n_layers"]) == (7, 1)


@pytest.mark.parametrize(
    "key",
    ["n_variable: 4", "keep: [A]", "map: null", "gene_likelihood: nb", "scanvi_epochs: 3", "min_counts: 5"],
)
def test_keys_that_have_no_effect_with_cytometry(config, key):
    name = key.split(":")[0]
    section = {"gene_likelihood": "model", "scanvi_epochs": "model", "min_counts": "prediction"}.get(
        name, "genes"
    )
    config |= {"modality": "cytometry", section: yaml.safe_load(f"{{{key}}}")}
    assert problems(config).endswith(
        f"  - {section}.{name}: has no effect where modality is cytometry; take the key out, or set "
        "modality: rna"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c.update(cytometry={"cofactor": 5}),
            "cytometry.cofactor: has no effect where modality is rna",
        ),
        (
            lambda c: c.update(cytometry={"markers": {}}),
            "cytometry.markers: has no effect where modality is rna",
        ),
        (
            lambda c: c["datasets"]["patients"].update(technology="mass"),
            "datasets.patients.technology: has no effect where modality is rna; take the key out, or set "
            "modality: cytometry",
        ),
        (
            lambda c: c.update(model={"type": "cytovi"}),
            "model.type: cytovi does not learn from what datasets of",
        ),
    ],
)
def test_keys_of_cytometry_without_it(config, change, said):
    change(config)
    assert said in problems(config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c.update(model={"type": "scvi"}),
            "model.type: scvi does not learn from what datasets of modality",
        ),
        (lambda c: c.update(model={"type": "scanvi"}), "model.type: scanvi does not learn from what"),
        (
            lambda c: c["datasets"]["atlas"].update(gene_id="index"),
            "datasets.atlas.gene_id: has no effect where",
        ),
        (
            lambda c: c["datasets"]["atlas"].update(counts_rounding="nearest"),
            "datasets.atlas.counts_rounding: has no effect where",
        ),
        (
            lambda c: c["datasets"]["atlas"].update(technology="flow"),
            "datasets.atlas.technology: 'flow' is not one",
        ),
        (
            lambda c: c["datasets"]["atlas"].update(transformed="yes"),
            "datasets.atlas.transformed: 'yes' is not auto",
        ),
        (
            lambda c: c["datasets"]["atlas"].update(obs_by="line"),
            "datasets.atlas.obs_by: 'line' is not one of",
        ),
        (
            lambda c: c["datasets"]["patients"].update(obs_by="order"),
            "datasets.patients.obs_by: has no effect without a table; name it in datasets.patients.obs",
        ),
        (
            lambda c: c.update(cytometry={"cofactor": 0}),
            "cytometry.cofactor: 0 is not auto or number or object",
        ),
        (
            lambda c: c.update(cytometry={"cofactor": {"CD3": -1}}),
            "cytometry.cofactor: {'CD3': -1} is not auto",
        ),
        (
            lambda c: c.update(cytometry={"markers": "no.csv"}),
            "cytometry.markers: no.csv: there is no such file",
        ),
        (
            lambda c: c.update(cytometry={"markers": {"CD8a": "CD8", "cd8-a": "CD8b"}}),
            "cytometry.markers: 'cd8-a' stands for 'CD8b' and for 'CD8'; leave one of them",
        ),
        (lambda c: c.update(cytometry={"markers": ["CD8"]}), "cytometry.markers: ['CD8'] is not of type"),
        (lambda c: c.update(cytometry={"marker": {}}), "no key 'marker' (did you mean 'markers'?)"),
        (
            lambda c: c.update(reference={"subsample": 99}),
            "reference.subsample: 99 is less than the",
        ),
        (lambda c: c.update(modality=["cytometry"]), "modality: ['cytometry'] is not one of"),
        (lambda c: c["datasets"]["atlas"].update(label="cell"), "datasets.atlas.label"),
    ],
)
def test_a_mistake_of_cytometry_is_named(config, change, said):
    config["modality"] = "cytometry"
    change(config)
    assert said in problems(config)


def test_a_table_of_markers_is_read_before_anything_runs(config, tmp_path):
    (tmp_path / "markers.csv").write_text("name,marker\nCD8a,CD8\nGFP\n")
    config |= {"modality": "cytometry", "cytometry": {"markers": str(tmp_path / "markers.csv")}}
    assert "cytometry.markers: line 3 of" in problems(config)
    (tmp_path / "markers.csv").write_text("name,marker\nCD8a,CD8\nGFP,\n")
    check(config, config_files=[])


def test_by_order_no_column_of_a_table_holds_names(config):
    """The first one can be the label."""
    config["datasets"]["atlas"] |= {"label": "cell", "obs_by": "order"}
    check(config, config_files=[])
    config["datasets"]["atlas"]["obs_by"] = "name"
    assert "has no obs column 'cell'" in problems(config)
