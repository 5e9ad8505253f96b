"""A configuration made from files: detected values, and messages on unsuitable files."""

import numpy as np
import pandas as pd
import pytest
import yaml
from cellferry.commands.new.__main__ import main
from cellferry.commands.new.config_text import chunks
from cellferry.commands.new.discovery import dataset_name, datasets_of, table_beside
from cellferry.config.checks import check
from cellferry.config.orthologs import FOLDER
from cellferry.config.schema import fill_defaults
from simulate import simulate_cells
from spatial_files import write_xenium

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A reference and a query; the configuration goes to `config` beside them."""
    monkeypatch.chdir(tmp_path)
    simulate_cells(300, batches=("a", "b")).write_h5ad("atlas.h5ad")
    simulate_cells(100, seed=1).write_h5ad("blood.h5ad")
    return tmp_path


def with_ids(cells):
    """The same cells, their genes by Ensembl ids."""
    cells.var_names = [f"ENSG{number:011d}" for number in range(cells.n_vars)]
    return cells


def new(*, reference="atlas.h5ad", query="blood.h5ad", name="kidney", **more):
    given = {"name": name, "reference": reference, "query": query, **more}
    return main([f"--{key}={value}" for key, value in given.items()])


def written(folder, name="kidney"):
    """The configuration as the workflow uses it, after its checks."""
    path = folder / "config" / f"{name}.yaml"
    config = yaml.safe_load(path.read_text())
    check(config, config_files=[str(path)])
    fill_defaults(config)
    return config


def test_columns_are_filled_in_with_a_word_why(files, capsys):
    assert new() == 0
    datasets = written(files)["datasets"]
    assert datasets["atlas"]["label"] == "cell_type"
    assert datasets["atlas"]["batch"] == "sample"
    assert datasets["atlas"]["role"] == "reference"
    assert datasets["blood"]["label"] == "cell_type"
    assert datasets["blood"]["batch"] is None
    assert datasets["blood"]["path"] == str(files / "blood.h5ad")
    text = (files / "config" / "kidney.yaml").read_text()
    assert "label: cell_type  # 3 labels, by its name" in text
    assert "# h5ad: 300 cells x 200 genes" in text
    said = capsys.readouterr().out
    assert "make plan CONFIG=config/kidney.yaml" in said
    assert "snakemake --profile profiles/slurm --configfile config/kidney.yaml --dry-run" in said


def test_nothing_is_overwritten_unless_asked_to(files, capsys):
    (files / "config").mkdir()
    path = files / "config" / "kidney.yaml"
    path.write_text("mine")
    assert new() == 1
    assert path.read_text() == "mine"
    assert "exists; choose another NAME, or add FORCE=1" in capsys.readouterr().err
    assert new(force=1) == 0
    assert written(files)["datasets"]["atlas"]["label"] == "cell_type"


def test_counts_in_a_layer_are_found(files):
    cells = simulate_cells(100)
    cells.layers["umi"] = cells.X.copy()
    cells.X = cells.X.astype(np.float32)
    cells.X.data = np.log1p(cells.X.data)
    cells.write_h5ad("atlas.h5ad")
    assert new() == 0
    assert written(files)["datasets"]["atlas"]["counts"] == "layers/umi"


def test_no_column_of_labels_is_told_with_those_that_there_are(files, capsys):
    cells = simulate_cells(300, batches=("a", "b"))
    cells.obs["tissue"] = np.where(np.arange(300) % 2, "lung", "blood")
    del cells.obs["cell_type"]
    cells.write_h5ad("atlas.h5ad")
    assert new() == 1
    said = capsys.readouterr().out
    assert "has no column that looks like labels" in said
    assert "tissue (2 values)" in said
    text = (files / "config" / "kidney.yaml").read_text()
    assert "label: null  # FILL IN" in text
    assert new(label="tissue", force=1) == 0
    assert written(files)["datasets"]["atlas"]["label"] == "tissue"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reference": "nothing.h5ad"}, "nothing.h5ad does not exist"),
        ({"query": "nothing*.h5ad"}, "no file matches the pattern"),
        ({"reference": ""}, "REFERENCE= is missing"),
        ({"query": ""}, "QUERY= is missing"),
        ({"name": ""}, "NAME=: names contain"),
        ({"name": "../x"}, "NAME=../x: names contain"),
        ({"reference": "text.txt"}, "text.txt"),
        ({"reference": "broken.h5ad"}, "broken.h5ad"),
        ({"label": "celltyp"}, "LABEL=celltyp: "),
        ({"batch": "donor"}, "BATCH=donor: "),
        ({"reference": "'atlas.h5ad"}, "a quote is not closed"),
    ],
)
def test_a_mistake_is_one_clear_sentence(files, capsys, given, said):
    (files / "text.txt").write_text("")
    (files / "broken.h5ad").write_bytes((files / "atlas.h5ad").read_bytes()[:3000])
    assert new(**given) == 1
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert not (files / "config").exists()


def test_values_that_are_no_counts_are_told(files, capsys):
    cells = simulate_cells(100, n_genes=600)
    cells.X.data = np.log1p(cells.X.data)
    cells.write_h5ad("atlas.h5ad")
    assert new() == 1
    said = capsys.readouterr().out
    assert "which cannot be run yet" in said
    assert "atlas.h5ad" in said


def test_labels_of_a_query_that_the_reference_lacks_are_no_truth(files):
    simulate_cells(100, labels=("hepatocyte", "Kupffer cell")).write_h5ad("blood.h5ad")
    assert new() == 0
    assert written(files)["datasets"]["blood"]["label"] is None
    assert "few of these labels are in the reference" in (files / "config" / "kidney.yaml").read_text()


def test_several_references_and_queries(files):
    simulate_cells(100, seed=2).write_h5ad("lung two.h5ad")
    assert new(reference="atlas.h5ad 'lung two.h5ad'", query="blood.h5ad blood.h5ad") == 0
    datasets = written(files)["datasets"]
    roles = {name: dataset["role"] for name, dataset in datasets.items()}
    assert list(roles.values()) == ["reference", "reference", "query", "query"]
    assert {"atlas", "lung_two", "blood"} <= set(roles)


def test_a_pattern_is_one_dataset_of_samples(files):
    for number in range(2):
        cells = simulate_cells(60, seed=number)
        del cells.obs["sample"]
        cells.write_h5ad(f"plate{number}.h5ad")
    assert new(reference="plate*.h5ad") == 0
    dataset = written(files)["datasets"]["plate"]
    assert dataset["batch"] == "sample"


def test_a_table_beside_the_counts_is_found(files):
    cells = with_ids(simulate_cells(300))
    cells.to_df().to_csv("atlas.counts.csv")
    cells.obs.to_csv("atlas.metadata.csv")
    with_ids(simulate_cells(100, seed=1)).write_h5ad("blood.h5ad")
    assert new(reference="atlas.counts.csv") == 0
    dataset = written(files)["datasets"]["atlas"]
    assert dataset["obs"] == str(files / "atlas.metadata.csv")
    assert dataset["label"] == "cell_type"


def test_a_table_of_other_cells_is_not_taken(files):
    with_ids(simulate_cells(300)).to_df().to_csv("atlas.counts.csv")
    simulate_cells(10, seed=7).obs.to_csv("atlas.metadata.csv")
    assert new(reference="atlas.counts.csv") == 1
    assert "obs: " not in (files / "config" / "kidney.yaml").read_text().replace("`obs`", "")


def test_ids_of_two_kinds_are_told(files, capsys):
    with_ids(simulate_cells(100)).write_h5ad("blood.h5ad")
    assert new() == 1
    said = capsys.readouterr().out
    assert "datasets.blood: shares 0 of its 200 genes with atlas" in said
    assert "it has human Ensembl ids (ENSG" in said
    assert "translate its ids with genes.map" in said


def test_a_query_of_another_species_gets_its_table_of_orthologs(files, capsys):
    pairs = pd.read_csv(FOLDER / "human-mouse.tsv.gz", sep="\t", comment="#", nrows=200)
    for name, column in (("atlas", "human_symbol"), ("blood", "mouse_symbol")):
        cells = simulate_cells(100)
        cells.var_names = list(pairs[column])
        cells.write_h5ad(f"{name}.h5ad")
    assert new() == 0
    assert written(files)["genes"]["orthologs"] == "human-mouse"
    text = (files / "config" / "kidney.yaml").read_text()
    assert "# blood has mouse or rat symbols, the reference human symbols" in text


def test_real_pairs(test_data, tmp_path, monkeypatch, capsys):
    """Columns of labels and batches in the configurations of these pairs."""
    monkeypatch.chdir(tmp_path)
    pbmc, cellmix = test_data / "pbmc", test_data / "cellmix"
    queries = f"{pbmc}/query_kang_ifnb.h5ad {pbmc}/query_symphony_3tech.h5ad"
    assert new(reference=pbmc / "ref_pbmc3k.h5ad", query=queries) == 1
    assert "only 259 genes are common to all datasets" in capsys.readouterr().out
    datasets = written(tmp_path)["datasets"]
    assert {name: (one["label"], one["batch"]) for name, one in datasets.items()} == {
        "ref_pbmc3k": ("cell_type_broad", None),  # `batch` has one value only
        "query_kang_ifnb": ("cell_type_broad_harmonised", "sample_id"),
        "query_symphony_3tech": ("cell_type_broad_harmonised", "donor"),
    }
    plates = cellmix / "sc_celseq2_5cl_p*.count.csv.gz"
    assert new(name="plates", reference=plates, query=cellmix / "sc_dropseq.count.csv.gz") == 0
    reference, query = written(tmp_path, "plates")["datasets"].values()
    assert (reference["label"], reference["batch"], query["label"]) == (
        "cell_line_demuxlet", "sample", "cell_line_demuxlet",
    )  # fmt: skip
    assert len(reference["obs"]) == 3


def test_real_cytometry(test_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    levine = test_data / "levine32_cytof"
    assert new(reference=levine / "Levine_H1.fcs", query=levine / "Levine_H2.fcs") == 0
    config = written(tmp_path)
    assert config["modality"] == "cytometry"
    assert config["datasets"]["Levine_H1"]["obs_by"] == "order"
    seurat = levine / "Levine_32dim_seurat_v5_Assay5.rds"
    assert new(name="r", reference=seurat, query=levine / "query_H2_dense.h5ad") == 0
    config = written(tmp_path, "r")
    assert config["modality"] == "cytometry"
    assert config["datasets"][seurat.stem]["label"] == "population_id"
    assert config["datasets"][seurat.stem]["batch"] == "sample"


def test_intensities_and_counts_do_not_go_together(test_data, files, capsys):
    assert new(query=test_data / "levine32_cytof" / "Levine_H2.fcs") == 1
    assert "give files of one kind" in capsys.readouterr().err


def test_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dataset_name("/data/my atlas (v2).h5ad", set(), "reference") == "my_atlas_v2"
    assert dataset_name("/data/reference.h5ad", set(), "reference") == "reference_data"
    assert dataset_name("x/a.counts.csv.gz", set(), "query") == "a"
    assert dataset_name("x/a.h5ad", {"a"}, "query") == "a_query"
    assert dataset_name("x/a.h5ad", {"a", "a_query"}, "query") == "a_query_2"
    assert dataset_name("run7/filtered_feature_bc_matrix", set(), "query") == "run7"
    assert datasets_of("a.h5ad  'b c.h5ad' d*.h5ad") == ["a.h5ad", "b c.h5ad", "d*.h5ad"]
    (tmp_path / "b c.h5ad").touch()
    assert datasets_of("b c.h5ad") == ["b c.h5ad"]
    for name in ("a_obs.csv", "a.csv", "a2_obs.csv"):
        (tmp_path / name).touch()
    assert table_beside("a.csv") == ["a_obs.csv"]
    assert table_beside("a2_obs.csv") == []


@pytest.mark.parametrize(("cells", "n"), [(100, 1), (120_000, 3), (2_000_000, 25), (10_000_000, 50)])
def test_chunks_follow_from_the_cells(cells, n):
    assert chunks(cells) == n


def test_folder_of_an_instrument_is_taken_with_its_coordinates(files):
    write_xenium(files / "run")
    assert new(query="run", name="xenium") == 1  # it shares no genes with the reference
    config = written(files, "xenium")["datasets"]
    assert config["run"]["path"] == str(files / "run")
    assert config["run"]["coordinates"] == "auto"
    text = (files / "config" / "xenium.yaml").read_text()
    assert "# 10x_h5: 30 cells x 6 genes" in text
    assert "# 7 control features of the panel are left out" in text
    assert f"# coordinates: auto  # {files / 'run' / 'cells.parquet'}" in text
    (files / "run" / "cells.parquet").unlink()
    assert new(query="run", name="without") == 1
    text = (files / "config" / "without.yaml").read_text()
    assert f"# coordinates: none found, {files / 'run' / 'cells.parquet'} is missing" in text
