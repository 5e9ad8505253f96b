"""What picks a model's genes from a dataset, in a run that did not choose them."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.subset import MEASURED, gene_selection

GENES = ["CD3E", "CD19", "NKG7"]


@pytest.fixture
def selected(tmp_path):
    """Select among the genes of a dataset whose name an earlier run gave to one with a column of symbols."""
    report = {"namespace": "symbol", "datasets": {"patients": {"column": "symbol"}}}
    (tmp_path / "genes.json").write_text(json.dumps(report))

    def run(var, gene_id="auto"):
        reader = SimpleNamespace(var=var)
        return gene_selection(
            reader, GENES, str(tmp_path / "genes.json"), None, name="patients", gene_id=gene_id
        )

    return run


def test_another_dataset_of_the_same_name_need_not_have_its_column(selected):
    _, var = selected(pd.DataFrame(index=["NKG7", "CD3E", "MS4A1"]))
    assert var.index[var[MEASURED]].to_list() == ["CD3E", "NKG7"]


def test_the_column_that_was_chosen_is_taken(selected):
    own = pd.DataFrame({"symbol": ["CD3E", "LYZ", "MS4A1"]}, index=["NKG7", "CD19", "CD14"])
    _, var = selected(own)
    assert var.index[var[MEASURED]].to_list() == ["CD3E"]


def test_a_column_that_is_not_there_is_named_with_the_dataset(selected):
    with pytest.raises(InputError, match=r"datasets\.patients\.gene_id: there is no var column 'gene'"):
        selected(pd.DataFrame(index=np.array(GENES)), gene_id="gene")
