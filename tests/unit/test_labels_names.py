"""Names of labels: words for a missing label, spellings of one label, and the closest name."""

from collections import Counter

import numpy as np
import pytest
from cellferry.labels.names import LabelNames, closest, count_names, folded
from simulate import label_names


def test_words_for_no_label():
    values = np.array(
        ["nan", "None", " NA ", "Unknown", "n/a", "", "\t", None, np.nan, "NaN cell"], dtype=object
    )
    assert list(label_names()(values)) == [None] * 9 + ["NaN cell"]


def test_what_counts_as_missing_can_be_changed_but_for_the_answer_unknown():
    names = label_names(missing=["Doublet"])
    assert [names.name(value) for value in ("doublet", "none", "unknown", "")] == [None, "none", None, None]


def test_spellings_are_brought_together_and_cleaned_of_blanks():
    names = label_names(rename={"CD4 T cells": "CD4 T", 7: "B", "junk": "unknown"})
    values = np.array(["CD4 T cells", "CD4  T\tcells", "CD4 T", "γδ T\n", "junk"], dtype=object)
    assert list(names(values)) == ["CD4 T", "CD4 T", "CD4 T", "γδ T", None]
    assert list(names(np.array([7.0, 8.0, np.nan]))) == ["B", "8", None]


def test_counts_say_what_was_done():
    found = count_names(
        Counter({"T": 3, "t cell": 2, "nan": 4, None: 1}), label_names(rename={"t cell": "T"})
    )
    assert found.labels == {"T": 5}
    assert found.unlabeled == 5
    assert found.missing == {"nan": 4}
    assert found.renamed == {"t cell": ("T", 2)}


@pytest.mark.parametrize("name", ["names.csv", "names.tsv"])
def test_tables(tmp_path, name):
    delimiter = "\t" if name.endswith("tsv") else ","
    rows = [["spelling", "label"], ['"B, naive"', "B"], ["Γδ T", "γδ T"], [], ["B cells", "B", "more"]]
    path = tmp_path / name
    path.write_text("\n".join(delimiter.join(row) for row in rows) + "\n", encoding="utf-8-sig")
    names = LabelNames(str(path), [])
    assert [names.name(value) for value in ("B, naive", "Γδ T", "B cells")] == ["B", "γδ T", "B"]


def test_what_a_label_might_stand_for():
    assert closest("cd4 t cell", ["B cell", "CD4 T cells"]) == "CD4 T cells"
    assert closest("erythrocyte", ["B cell", "CD4 T cells"]) is None
    assert folded("CD14+ Mono_cyte") == folded("cd14 monocyte")
