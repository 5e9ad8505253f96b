"""Tables of labels: renames, parents and ids of the Cell Ontology, and those that are refused."""

import pytest
from cellferry.errors import InputError
from cellferry.labels.tables import read_ontology, read_parents, read_renames


@pytest.mark.parametrize(
    ("read", "given", "said"),
    [
        (read_renames, {"a": "b", "b": "c"}, "'a' becomes 'b', and 'b' becomes 'c'"),
        (read_renames, {"a": " "}, "labels.rename: 'a' has the value ''"),
        (read_renames, {"a": "b", "a ": "c"}, "duplicate name 'a', with 'b' and 'c'"),
        (read_parents, {"a": "b", "b": "c", "c": "b"}, "labels.parents: contains a circle, b → c → b"),
        (read_parents, {"a": "a"}, "a → a"),
        (
            read_parents,
            {"a": "Unknown"},
            "labels.parents: 'Unknown', the parent of 'a', is the name of unlabeled",
        ),
        (read_ontology, {"a": "CL:84"}, "'CL:84', given to 'a', is not an id of the Cell Ontology"),
    ],
)
def test_what_is_refused(read, given, said):
    with pytest.raises(InputError, match=said):
        read(given)


def test_a_table_that_names_two_labels_for_a_spelling(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("Mono,CD14 Mono\nMono,CD16 Mono\n")
    with pytest.raises(InputError, match="duplicate name 'Mono', with 'CD14 Mono' and 'CD16 Mono'"):
        read_renames(str(path))
    path.write_text("Mono\n")
    with pytest.raises(InputError, match=r"line 1 of .*names\.csv has one column, and two are needed"):
        read_renames(str(path))
    with pytest.raises(InputError, match="no such file"):
        read_renames(str(tmp_path / "nowhere.csv"))


def test_the_header_of_a_table_of_ids_is_no_id(tmp_path):
    path = tmp_path / "ids.tsv"
    path.write_text("label\tid\nT cell\tCL:0000084\n")
    assert read_ontology(str(path)) == {"T cell": "CL:0000084"}
