"""Users' files and folders may have any name, even one special to Snakemake, the shell or patterns."""

import os
import re
import shutil

import anndata as ad
import pytest
import yaml
from placeholders import write_placeholders
from running import ROOT, snakemake
from simulate import simulate_cells

EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
NAMES = [
    "run {7A3F}",  # a wildcard of Snakemake's
    "{dataset}",  # one that rules have
    "{a,b{1,2}}",
    "{{x}}",
    "a{b",
    "<results>",  # a path variable of Snakemake's
    "a<b>c",
    "data[1]",
    "it's $HOME; #1 & ~ü\\",
    "*",
]


def told(result):
    return result.stdout + result.stderr


def moved(value, folder):
    """Paths of a key, in another folder."""
    if isinstance(value, dict):
        return {name: moved(path, folder) for name, path in value.items()}
    if isinstance(value, list):
        return [moved(path, folder) for path in value]
    return value and f"{folder}/{value}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_input_of_every_example(run, example):
    folder = "{7A3F} [1] <b>"
    config = yaml.safe_load(example.read_text(encoding="utf-8"))
    for dataset in config["datasets"].values():
        dataset |= {key: moved(dataset[key], folder) for key in ("path", "obs") if key in dataset}
        dataset.pop("levels", None)  # parents do the same
    trained = config.get("pretrained")
    if isinstance(trained, dict):
        trained |= {key: moved(trained[key], folder) for key in ("model", "latents")}
    elif trained and "@" in trained:
        config["pretrained"] = f"{folder}/toy.cellferry.zip"
    elif trained:
        config["pretrained"] = f"{folder}/{trained.removeprefix('../')}"
    write_placeholders(config, run.folder)
    tables = {"rename": "a,T cell", "parents": "T cell,lymphocyte", "ontology": "T cell,CL:0000084"}
    for key, line in tables.items():
        (run.folder / folder / f"{key}.csv").write_text(f"first,second\n{line}\n")
    config["labels"] = {**config.get("labels", {}), **{key: f"{folder}/{key}.csv" for key in tables}}
    if config.get("modality") == "cytometry":
        (run.folder / folder / "markers.csv").write_text("marker,channel\nCD3,FL1-A\n")
        config["cytometry"] = {"markers": f"{folder}/markers.csv"}
    else:
        (run.folder / folder / "ids.csv").write_text("from,to\nENSG1,CD3E\n")
        (run.folder / folder / "pairs.csv").write_text("CD3E,Cd3e\n")
        tables = {"map": f"{folder}/ids.csv", "orthologs": f"{folder}/pairs.csv"}
        config["genes"] = {**config.get("genes", {}), **tables}
    result = run("--dry-run", "--cores", "1", config=config)
    assert result.returncode == 0, told(result)
    assert "\ue07b" not in told(result)


def test_a_configuration_of_any_name(run):
    name = "config {x} <x>.yaml"
    simulate_cells(60).write_h5ad(run.folder / "atlas.h5ad")
    atlas = {"role": "reference", "path": "atlas.h5ad", "label": "cell_type", "chunks": 1}
    datasets = {"atlas": atlas, "patients": {"role": "query", "path": "atlas.h5ad", "chunks": 1}}
    (run.folder / name).write_text(yaml.safe_dump({"datasets": datasets}))
    target = "results/inspected/atlas.json"
    result = snakemake(run.folder, target, "--cores", "1", "--configfile", run.folder / name)
    assert result.returncode == 0, told(result)


def test_a_working_folder_that_snakemake_cannot_work_in(tmp_path):
    folder = tmp_path / "run {7A3F}"
    folder.mkdir()
    result = snakemake(folder, "-n", config={"datasets": {"atlas": {"role": "reference", "path": "a.h5ad"}}})
    assert result.returncode != 0
    assert "run it in a folder without braces" in told(result)
    assert "Traceback" not in told(result)


def test_datasets_of_any_name_are_converted_and_watched(run):
    cells = simulate_cells(12, seed=1)
    datasets = {}
    for number, name in enumerate(NAMES):
        folder = run.folder / name
        folder.mkdir()
        cells.write_h5ad(folder / "a.h5ad")
        lines = ["cell_id,donor", *(f"{cell},d" for cell in cells.obs_names)]
        (folder / "obs.csv").write_text("\n".join(lines))
        named = {"path": f"{name}/a.h5ad", "obs": f"{name}/obs.csv", "batch": "donor"}
        datasets[f"named{number}"] = {"role": "query", "chunks": 1, **named}
        datasets[f"fits{number}"] = {"role": "query", "chunks": 1, "path": f"{name}/*.h5ad"}
    simulate_cells(60).write_h5ad(run.folder / "atlas.h5ad")
    atlas = {"role": "reference", "path": "atlas.h5ad", "label": "cell_type", "chunks": 1}
    config = {"datasets": {"atlas": atlas, **datasets}}
    assert run("--dry-run", "results/datasets.tsv", config=config).returncode == 0

    # One run for all: jobs take seconds each.
    labels = {key: f"{NAMES[0]}/{key}.csv" for key in ("rename", "parents")}
    (run.folder / labels["rename"]).write_text("from,to\nNK,NK cell\n")
    (run.folder / labels["parents"]).write_text("label,parent\nNK cell,lymphocyte\n")
    config = {"datasets": {"atlas": atlas, "patients": datasets["named0"]}, "labels": labels}
    target = "results/merged/patients.h5ad"
    result = run(target, "--cores", "2", config=config)
    assert result.returncode == 0, told(result)
    assert (ad.read_h5ad(run.folder / target).X != cells.X).nnz == 0
    assert "Nothing to be done" in told(run(target, "-n", config=config))
    older = simulate_cells(15, seed=2)
    older.write_h5ad(run.folder / "older.h5ad")
    os.utime(run.folder / "older.h5ad", (1_500_000_000, 1_500_000_000))
    shutil.copy2(run.folder / "older.h5ad", run.folder / NAMES[0] / "a.h5ad")
    again = told(run(target, "-n", config=config))
    assert re.search(r"Changed: run \{7A3F\}/a\.h5ad \(another file\)", again)
