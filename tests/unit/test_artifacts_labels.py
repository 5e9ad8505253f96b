"""Labels of a reference and of its classifiers: read as they were written; older files are refused."""

import json
from pathlib import Path

import pytest
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ClassifierLabels, ReferenceLabels
from cellferry.errors import InputError
from cellferry.runs.methods import FORMAT_VERSION
from example_artifacts import (
    hierarchy_of,
    reference_labels_of,
    write_classifier_labels,
    write_reference_labels,
)

LEVELS = {"lineage": {"γδ T": "T", "B, naive": "B", "mast": "myeloid"}}


def test_labels_of_a_reference_are_read_back(tmp_path):
    sizes, ids = {"mast": 4, "γδ T": 90}, {"γδ T": "CL:0000798", "T": "CL:0000084"}
    written = {"rare": ["mast"], "sizes": sizes, "ontology": ids}
    path = write_reference_labels(tmp_path / "labels.json", ["B, naive", "γδ T"], LEVELS, **written)
    found = read_artifact(ReferenceLabels, path)
    hierarchy = hierarchy_of(["B, naive", "γδ T"], LEVELS, rare=["mast"])
    assert found == reference_labels_of(hierarchy, sizes, ids)
    assert found.sizes == {"B, naive": 60, "γδ T": 90, "mast": 4}
    assert found.rare == {"mast": 4}
    assert json.loads(Path(path).read_text(encoding="utf-8"))["format"] == FORMAT_VERSION


def test_labels_of_classifiers_are_read_back(tmp_path):
    hierarchy = hierarchy_of(["B, naive"], LEVELS, rare=["γδ T", "mast"])
    write_classifier_labels(tmp_path, hierarchy, ["linear"])
    found = read_artifact(ClassifierLabels, tmp_path / "labels.json")
    assert (found.hierarchy, found.heads) == (hierarchy, ["linear"])


@pytest.mark.parametrize("kind", [ReferenceLabels, ClassifierLabels])
def test_an_earlier_run_of_an_older_version_is_refused(tmp_path, kind):
    """Its files had levels as a list, and no version."""
    old = {"format": 2, "labels": {"B": {"cells": 9}}, "levels": [{"name": "lineage", "of": {"B": "B"}}]}
    (tmp_path / "labels.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"labels\.json: was .* \(it has no version\); run the earlier run"):
        read_artifact(kind, tmp_path / "labels.json")
