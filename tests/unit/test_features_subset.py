"""Selection of a model's genes from a dataset in a run that did not select them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.features.subset import HAS_ORTHOLOG, MEASURED, gene_selection
from example_artifacts import write_features
from scipy import sparse

GENES = ["CD3E", "CD19", "NKG7"]


@pytest.fixture
def selected(tmp_path):
    """Select genes in a dataset named like a dataset of an earlier run, which had a column of symbols."""
    write_features(tmp_path / "genes.json", ("patients", "symbol"))

    def run(var, gene_id="auto", **more):
        reader = SimpleNamespace(var=var, uns={"gene_totals": np.ones(len(var))})
        return gene_selection(
            reader, GENES, str(tmp_path / "genes.json"), None, name="patients", gene_id=gene_id, **more
        )

    return run


def test_another_dataset_of_the_same_name_need_not_have_its_column(selected):
    _, var = selected(pd.DataFrame(index=["NKG7", "CD3E", "MS4A1"]))
    assert var.index[var[MEASURED]].to_list() == ["CD3E", "NKG7"]


def test_of_columns_that_have_as_many_genes_the_one_that_was_chosen_is_taken(selected):
    own = pd.DataFrame({"symbol": ["CD3E", "LYZ", "MS4A1"]}, index=["LYZ", "CD3E", "CD14"])
    selection, var = selected(own)
    assert var.index[var[MEASURED]].to_list() == ["CD3E"]
    assert selection(sparse.csr_matrix(np.float32([[5, 7, 0]]))).toarray().tolist() == [[5, 0, 0]]


def test_another_dataset_of_the_same_name_may_have_its_genes_in_another_column(selected):
    """A column of that name exists, with the user's own numbers of the genes."""
    own = pd.DataFrame({"symbol": ["gene1", "gene2", "gene3"]}, index=["NKG7", "CD3E", "MS4A1"])
    selection, var = selected(own)
    assert var.index[var[MEASURED]].to_list() == ["CD3E", "NKG7"]
    assert selection(sparse.csr_matrix(np.float32([[5, 7, 3]]))).toarray().tolist() == [[7, 0, 5]]


def test_a_column_that_is_not_there_is_named_with_the_dataset(selected):
    with pytest.raises(InputError, match=r"datasets\.patients\.gene_id: there is no var column 'gene'"):
        selected(pd.DataFrame(index=np.array(GENES)), gene_id="gene")


@pytest.fixture
def pairs(tmp_path):
    """A table in which a gene of the model has no partner."""
    path = tmp_path / "pairs.csv"
    path.write_text("mouse,human\nCd3e,CD3E\nCd19,CD19\nLyz2,LYZ\n")
    return str(path)


def test_a_query_of_another_species_has_the_genes_of_its_orthologs(selected, pairs, capsys):
    selection, var = selected(pd.DataFrame(index=["Lyz2", "Cd3e", "Gm1"]), orthologs=pairs)
    assert var.index[var[MEASURED]].to_list() == ["CD3E"]
    assert var.index[var[HAS_ORTHOLOG]].to_list() == ["CD3E", "CD19"]
    assert selection(sparse.csr_matrix(np.float32([[5, 7, 3]]))).toarray().tolist() == [[7, 0, 0]]
    said = capsys.readouterr().out
    assert "2 of 3 genes of patients are named as their orthologs" in said
    assert "1 of the 3 genes have no one-to-one ortholog in the species of patients" in said


def test_a_query_of_the_models_species_does_without_orthologs(selected, pairs):
    _, var = selected(pd.DataFrame(index=["NKG7", "CD3E", "MS4A1"]), orthologs=pairs)
    assert list(var) == [MEASURED]
    assert var.index[var[MEASURED]].to_list() == ["CD3E", "NKG7"]


def test_too_few_genes_name_both_organisms_and_the_remedy(selected):
    with pytest.raises(InputError) as raised:
        selected(pd.DataFrame(index=["Cd3e", "Cd19", "Nkg7"]), min_common=0.3)
    assert str(raised.value) == (
        "datasets.patients: has 0 of the 3 genes of the model (0%), fewer than genes.min_common allows "
        "(0.3); it has mouse or rat symbols (Cd3e, Cd19, Nkg7, ...), the model has human symbols (CD3E, "
        "CD19, NKG7, ...); set genes: {orthologs: human-mouse}"
    )


def test_orthologs_of_other_species_are_named(selected, tmp_path):
    (tmp_path / "fish.csv").write_text("cd3e,PTPRC\ncd4-1,CD4\n")
    with pytest.raises(InputError, match=r"fish\.csv pairs 0 genes of patients; name a table of these two"):
        selected(pd.DataFrame(index=["Cd3e", "Cd19", "Nkg7"]), orthologs=str(tmp_path / "fish.csv"))
