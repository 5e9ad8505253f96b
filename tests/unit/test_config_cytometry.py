"""The configuration: keys of cytometry, and keys without effect for one modality."""

import pytest
import yaml
from cellferry.config.checks import check
from cellferry.config.schema import fill_defaults
from configurations import problems, small_config


@pytest.fixture
def config(tmp_path):
    return small_config(tmp_path)


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
        f"  - {section}.{name}: has no effect for modality cytometry; remove the key, or set modality: rna"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c.update(cytometry={"cofactor": 5}),
            "cytometry.cofactor: has no effect for modality rna",
        ),
        (
            lambda c: c.update(cytometry={"markers": {}}),
            "cytometry.markers: has no effect for modality rna",
        ),
        (
            lambda c: c["datasets"]["patients"].update(technology="mass"),
            "datasets.patients.technology: has no effect for modality rna; remove the key, or set "
            "modality: cytometry",
        ),
        (
            lambda c: c.update(model={"type": "cytovi"}),
            "model.type: cytovi cannot be trained on datasets of",
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
            "model.type: scvi cannot be trained on datasets of modality",
        ),
        (lambda c: c.update(model={"type": "scanvi"}), "model.type: scanvi cannot be trained on"),
        (
            lambda c: c["datasets"]["atlas"].update(gene_id="index"),
            "datasets.atlas.gene_id: has no effect for",
        ),
        (
            lambda c: c["datasets"]["atlas"].update(counts_rounding="nearest"),
            "datasets.atlas.counts_rounding: has no effect for",
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
            "cytometry.markers: 'cd8-a' means 'CD8b' and 'CD8'; keep one of them",
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
