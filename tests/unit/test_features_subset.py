"""The genes of a model, picked from a dataset in a run that did not choose them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.features.subset import MEASURED, gene_selection
from example_artifacts import write_features
from scipy import sparse

GENES = ["CD3E", "CD19", "NKG7"]


@pytest.fixture
def selected(tmp_path):
    """Select among the genes of a dataset whose name an earlier run gave to one with a column of symbols."""
    write_features(tmp_path / "genes.json", ("patients", "symbol"))

    def run(var, gene_id="auto"):
        reader = SimpleNamespace(var=var)
        return gene_selection(
            reader, GENES, str(tmp_path / "genes.json"), None, name="patients", gene_id=gene_id
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
    """A column of that name is there, of the user's own numbers for the genes."""
    own = pd.DataFrame({"symbol": ["gene1", "gene2", "gene3"]}, index=["NKG7", "CD3E", "MS4A1"])
    selection, var = selected(own)
    assert var.index[var[MEASURED]].to_list() == ["CD3E", "NKG7"]
    assert selection(sparse.csr_matrix(np.float32([[5, 7, 3]]))).toarray().tolist() == [[7, 0, 5]]


def test_a_column_that_is_not_there_is_named_with_the_dataset(selected):
    with pytest.raises(InputError, match=r"datasets\.patients\.gene_id: there is no var column 'gene'"):
        selected(pd.DataFrame(index=np.array(GENES)), gene_id="gene")
