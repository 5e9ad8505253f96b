"""make new and make label: a packed reference in place of a reference's files."""

import anndata as ad
import pandas as pd
import pytest
import yaml
from cellferry.commands.new.__main__ import main
from cellferry.config.orthologs import FOLDER
from cellferry.references.archive import verify
from cellferry.references.registry import PROJECT
from simulate import simulate_cells

TOY = PROJECT / "config/references/pbmc68k-demo-1.cellferry.zip"


@pytest.fixture
def new(tmp_path, monkeypatch, capsys):
    """Configuration and output of `make new`, for a query with some of the toy's labels."""
    monkeypatch.chdir(tmp_path)
    labels = sorted(verify(TOY).labels)[:3]
    simulate_cells(60, labels=labels, batches=("a", "b")).write_h5ad(tmp_path / "query.h5ad")

    def run(reference, *more):
        given = ["--name", "blood", "--reference", reference, "--query", "query.h5ad", "--folder", ".", *more]
        status = main(given)
        said = capsys.readouterr()
        config = yaml.safe_load((tmp_path / "blood.yaml").read_text()) if status == 0 else None
        return config, said.out + said.err

    return run


def test_the_archive_is_named_and_its_labels_are_known(new):
    config, said = new(str(TOY))
    assert config["pretrained"] == str(TOY)
    assert "surgery" not in config
    assert config["datasets"]["query"]["label"] == "cell_type"
    assert config["datasets"]["query"]["role"] == "query"
    assert "snakemake --profile profiles/slurm" in said


def test_as_it_is_by_name(new, tmp_path):
    config, said = new("pbmc68k-demo@1", "--as-it-is")
    assert config["pretrained"] == "pbmc68k-demo@1"
    assert config["surgery"] == {"fit": False}
    assert said.endswith("Wrote blood.yaml\n")
    text = (tmp_path / "blood.yaml").read_text()
    assert "# pbmc68k-demo@1: 10 labels, 765 genes, CC-BY-4.0" in text


def test_names_that_are_not_known(new):
    _, said = new("pbmc-demo@1")
    assert "make new: pretrained: there is no folder pbmc-demo@1" in said
    assert "pbmc68k-demo" in said


def test_a_damaged_archive(new, tmp_path):
    (tmp_path / "x.cellferry.zip").write_bytes(TOY.read_bytes()[:-100])
    _, said = new("x.cellferry.zip")
    assert "make new: x.cellferry.zip: is not a packed reference" in said


@pytest.mark.parametrize("kind", ["symbol", "ensembl"])
def test_a_query_of_another_species_is_recognized_by_the_genes_of_the_archive(new, tmp_path, kind):
    pairs = pd.read_csv(FOLDER / "human-mouse.tsv.gz", sep="\t", comment="#", nrows=200)
    cells = ad.read_h5ad(tmp_path / "query.h5ad")
    cells.var_names = list(pairs[f"mouse_{kind}"])
    cells.write_h5ad(tmp_path / "query.h5ad")
    config, _ = new("pbmc68k-demo@1", "--as-it-is")
    assert config["genes"] == {"orthologs": "human-mouse"}
    assert config["surgery"] == {"fit": False}
