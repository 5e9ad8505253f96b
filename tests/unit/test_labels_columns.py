"""The columns that are taken for labels and batches."""

from collections import Counter

import pytest
from cellferry.labels.columns import Column, choose_batch, choose_label, singlets

TYPES = {"B cell": 400, "CD4 T cell": 300, "Monocyte": 300}


def column(name, values=TYPES, missing=0):
    return Column(name, Counter(values), missing)


def many(n, prefix="c", cells=10):
    return {f"{prefix}{number}": cells for number in range(n)}


LABELS = (
    "cell_type celltype CellType cell.type Cell_Type_Final cell_ontology_class free_annotation annotation "
    "bulk_labels labels predicted.celltype.l2 ann_finest_level author_cell_type population_id classified "
    "seurat_annotations majority_voting_cell_type active.ident cluster_id"
)


@pytest.mark.parametrize("name", LABELS.split())
def test_names_that_labels_have(name):
    others = [column("tissue", {"blood": 500, "lung": 500}), column("leiden", many(5, "", 200))]
    assert choose_label([*others, column(name)]).column.name == name


@pytest.mark.parametrize(
    "there",
    [
        column("cell_type", {"B cell": 1000}),  # one value
        column("cell_type", many(300, cells=1)),  # a name for each cell
        column("cell_type", many(600)),
        column("cell_type", TYPES, missing=3000),
        column("leiden", many(5, "", 200)),
        column("tissue", {"blood": 500, "lung": 500}),
        column("donor", {"d1": 500, "d2": 500}),
        column("cell_cycle_phase", {"G1": 500, "S": 500}),
        column("whatever", {"yes": 500, "no": 500}),
    ],
)
def test_what_is_no_label(there):
    assert choose_label([there]) is None


def test_values_tell_where_a_name_says_nothing():
    choice = choose_label([column("x7"), column("y", {"yes": 500, "no": 500})])
    assert choice.column.name == "x7"
    assert choice.why == "its values are types of cells"
    ids = {"CL:0000236": 500, "CL:0000084": 500}
    assert choose_label([column("x7", ids)]).column.name == "x7"


def test_names_in_words_are_preferred_to_ids_and_to_coarse_ones():
    ids = {"CL:0000236": 500, "CL:0000084": 500}
    columns = [column("cell_type_ontology_term_id", ids), column("cell_type_broad"), column("cell_type")]
    choice = choose_label(columns)
    assert choice.column.name == "cell_type"
    assert [other.name for other in choice.others] == ["cell_type_broad", "cell_type_ontology_term_id"]


def test_of_two_the_one_whose_labels_others_know_is_taken():
    fine, coarse = column("cell_type", {"B naive": 500, "Mono 1": 500}), column("cell_type_broad")
    assert choose_label([fine, coarse]).column.name == "cell_type"
    assert choose_label([fine, coarse], known={*TYPES}).column.name == "cell_type_broad"


def test_the_same_name_as_in_the_reference_is_preferred():
    columns = [column("cell_line"), column("cell_line_demuxlet")]
    assert choose_label(columns, {*TYPES}, "cell_line_demuxlet").column.name == "cell_line_demuxlet"


DONORS = {"d1": 500, "d2": 500}


@pytest.mark.parametrize(
    "name",
    ["donor_id", "Patient", "sample", "orig.ident", "library_id", "batch", "subject_ID", "plate", "donorID"],
)
def test_names_that_batches_have(name):
    others = [column("sex", {"f": 500, "m": 500}), column("donor_age", {"30": 500, "60": 500})]
    assert choose_batch([*others, column(name, DONORS)], label=None).column.name == name


def test_a_donor_comes_before_a_sample_and_never_the_label():
    columns = [column("sample", {"s1": 500, "s2": 500}), column("donor", DONORS)]
    choice = choose_batch(columns, label=None)
    assert choice.column.name == "donor"
    assert [other.name for other in choice.others] == ["sample"]
    assert choose_batch([column("sample_cluster", DONORS)], label="sample_cluster") is None


@pytest.mark.parametrize("values", [{"d1": 1000}, many(400, cells=2)])
def test_one_value_or_one_for_each_cell_is_no_batch(values):
    assert choose_batch([column("batch", values)], label=None) is None


def test_doublets():
    assert singlets([column("x"), column("demuxlet_cls", {"SNG": 900, "DBL": 100})]) == {
        "demuxlet_cls": ["SNG"]
    }
    assert singlets([column("hto", {"Singlet": 900, "Negative": 100})]) == {"hto": ["Singlet"]}
    assert singlets([column("x"), column("demuxlet_cls", {"SNG": 900})]) == {}
