"""The hierarchy of labels: parents by a table and by the Cell Ontology, and coarser labels."""

import gzip

import pytest
from cellferry.errors import InputError
from cellferry.labels.ontology import SHIPPED, SHIPPED_PATH, read_obo
from cellferry.labels.suggestions import parents_by_mapping, parents_by_name, suggestion_lines
from cellferry.labels.tree import depths_of, describe_depths, tree_of_labels

OBO = """format-version: 1.2
data-version: cl/releases/2001-02-03

[Term]
id: CL:0000001
name: lymphocyte
is_a: CL:0000009 {is_inferred="true"} ! leukocyte
is_a: UBERON:0000001 ! no cell

[Term]
id: CL:0000002
name: T cell
is_a: CL:0000001 ! lymphocyte

[Term]
id: CL:0000003
name: CD4 T cell
is_a: CL:0000002 ! T cell

[Term]
id: CL:0000004
name: NK T cell
is_a: CL:0000002 ! T cell
is_a: CL:0000005 ! killer

[Term]
id: CL:0000005
name: killer
is_a: CL:0000001

[Term]
id: CL:0000006
name: obsolete cell
is_obsolete: true
replaced_by: CL:0000003

[Term]
id: CL:0000007
is_obsolete: true

[Term]
id: CL:0000009
name: leukocyte

[Typedef]
id: part_of
name: part of
"""
IDS = {"T": "CL:0000002", "CD4 T": "CL:0000003", "lymphoid": "CL:0000001"}


@pytest.fixture
def obo(tmp_path):
    path = tmp_path / "small.obo"
    path.write_text(OBO, encoding="utf-8")
    return str(path)


def tree(obo, ids, parents=None, labels=()):
    return tree_of_labels(parents or {}, ids, obo, labels)


def test_the_parent_is_the_nearest_term_in_use(obo):
    assert tree(obo, IDS) == {"T": "lymphoid", "CD4 T": "T"}
    without_t = {name: term for name, term in IDS.items() if name != "T"}
    assert tree(obo, without_t) == {"CD4 T": "lymphoid"}


def test_labels_that_are_ids_need_none(obo):
    assert tree(obo, {}, labels=["CL:0000003", "CL:0000001", "other"]) == {"CL:0000003": "CL:0000001"}


def test_an_ancestor_of_an_ancestor_is_no_second_parent(obo):
    """NK T cells are killers and T cells; if only one of these is in use, it is the parent."""
    assert tree(obo, {"NKT": "CL:0000004", "T": "CL:0000002", "top": "CL:0000009"})["NKT"] == "T"


def test_two_parents_are_refused_until_the_table_gives_one(obo):
    ids = IDS | {"NKT": "CL:0000004", "killer": "CL:0000005"}
    message = "'NKT' .CL:0000004. is below '(T|killer)' and '(T|killer)' in the Cell Ontology; give 'NKT'"
    with pytest.raises(InputError, match=message):
        tree(obo, ids)
    assert tree(obo, ids, parents={"NKT": "T"})["NKT"] == "T"


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            {"x": "CL:0000099"},
            "CL:0000099, the id of 'x', is not in the Cell Ontology .cl/releases/2001-02-03.",
        ),
        ({"x": "CL:0000006"}, "CL:0000006, the id of 'x', is obsolete in .*; write CL:0000003 instead"),
        ({"x": "CL:0000007"}, "is obsolete in .*; write another one"),
        ({"x": "CL:0000003", "y": "CL:0000003"}, "'x' and 'y' have one id, CL:0000003; make them one label"),
    ],
)
def test_ids_that_give_no_tree_are_refused(obo, ids, message):
    with pytest.raises(InputError, match=message):
        tree(obo, ids)


def test_a_circle_over_table_and_ontology_is_refused(obo):
    with pytest.raises(InputError, match=r"contains a circle, .*T → "):
        tree(obo, IDS, parents={"lymphoid": "CD4 T"})


@pytest.mark.parametrize("content", [b"label,parent\na,b\n", b"\xff\xfe\x00\x01[Term]\n"])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.obo"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"other\.obo:? (holds no term|contains text that is not UTF-8)"):
        read_obo(path)


def test_a_packed_file_is_read_and_a_cut_one_refused(tmp_path, obo):
    packed = tmp_path / "small.obo.gz"
    whole = gzip.compress(OBO.encode())
    packed.write_bytes(whole)
    assert read_obo(packed).names["CL:0000003"] == "CD4 T cell"
    packed.write_bytes(whole[:-20])
    with pytest.raises(InputError, match="it is broken, incomplete"):
        read_obo(packed)


def test_the_shipped_subset_states_its_release_and_holds_what_datasets_use():
    known = read_obo(SHIPPED_PATH)
    assert known.release == "cl/releases/2026-03-26"
    assert known.names["CL:0000084"] == "T cell"
    assert "CL:0000084" in known.ancestors("CL:0000624")
    assert all(above in known.names for parents in known.parents.values() for above in parents)
    assert not any(term in known.ancestors(term) for term in known.names)
    ids = {"T": "CL:0000084", "CD4 T": "CL:0000624", "B": "CL:0000236", "lymphocyte": "CL:0000542"}
    assert tree(SHIPPED, ids) == {"CD4 T": "T", "T": "lymphocyte", "B": "lymphocyte"}


PARENTS = {"CD4": "T", "CD8": "T", "Treg": "CD4", "Th1": "CD4", "T": "lymphoid", "B": "lymphoid"}


def test_coarser_labels_have_two_or_more_labels_below():
    cells = {"T": 5, "CD4": 50, "CD8": 20, "Treg": 20, "Th1": 20, "B": 30}
    depths = depths_of(cells, PARENTS, min_cells=10)
    assert depths.below == {"CD4": ["Th1", "Treg"], "T": ["CD8", "Th1", "Treg"]}
    assert not depths.above_one
    said = describe_depths(cells, depths)
    assert "'CD4' is a coarser label: its 50 cells train the sum of Th1, Treg" in said


def test_a_label_above_a_single_one_stays_a_label():
    """Otherwise every cell of it would be trained as that one."""
    depths = depths_of({"T": 50, "CD4": 20, "CD8": 3, "B": 30}, PARENTS, min_cells=10)
    assert depths.below == {}
    assert depths.above_one == {"T": "CD4"}


def test_a_coarser_label_without_children_in_the_reference_is_named():
    cells = {"T": 50, "B": 30}
    depths = depths_of(cells, PARENTS, min_cells=10)
    assert (depths.below, depths.childless) == ({}, ["T"])
    (line,) = describe_depths(cells, depths)
    assert line.startswith("warning: 'T' (50 cells) is a coarser label without children in the reference")


def test_parents_are_suggested_by_words_and_only_there():
    labels = ["T cell", "CD4 T cells", "naive CD4 T cell", "B cell", "cell", "NK"]
    suggested = parents_by_name(labels, ["NK cell"], {})
    assert suggested == {"CD4 T cells": "T cell", "naive CD4 T cell": "CD4 T cells"}
    assert "CD4 T cells" not in parents_by_name(labels, [], {"CD4 T cells": "lymphoid"})
    notice, *lines = suggestion_lines(suggested, "by their names")
    assert "labels.parents" in notice
    assert lines == ["CD4 T cells\tT cell", "naive CD4 T cell\tCD4 T cells"]
    assert suggestion_lines({}, "by their names") == []


def test_parents_are_suggested_by_what_cells_were_called():
    """Most T cells were called CD4 or CD8; a few errors, one label, or few cells suggest nothing."""
    cells = {("T", "CD4"): 40, ("T", "CD8"): 30, ("T", "B"): 5, ("T", "unknown"): 20}
    cells |= {("NK", "NK"): 90, ("NK", "CD8"): 20, ("NK", "B"): 15}
    cells |= {("B cell", "B"): 50, ("few", "CD4"): 6, ("few", "CD8"): 6}
    assert parents_by_mapping(cells, ["B", "CD4", "CD8", "NK"]) == {"CD4": "T", "CD8": "T"}
