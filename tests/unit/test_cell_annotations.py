"""Labels in the Cell Annotation Schema: valid, with the counts of the table, in bounded memory."""

import json
import tracemalloc

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from annotation_schema import BICAN, CAP, PUBLISHED
from cellferry.artifacts import cell_annotations
from cellferry.artifacts.cell_annotations import write_cell_annotations
from cellferry.artifacts.latents import ROWS_PER_GROUP
from cellferry.runs.hashes import MADE_FROM, REFERENCE
from example_artifacts import write_reference_labels

HOSTILE = ['B "x"', "γδ T, \\n", "back\\slash/\u2028]},", "𝕋 cell"]
LEAVES = ["CD4", "CD8", *HOSTILE]
LEVELS = {"broad": {"CD4": "T", "CD8": "T"} | {label: label for label in HOSTILE}}


def write_predictions(path, cells, *, metadata=None):
    """Predictions of cells, each a tuple (name, label, level, reason, node, probability)."""
    names, labels, levels, reasons, nodes, probabilities = zip(*cells, strict=True)
    table = pa.table(
        {
            "cell": pa.array(names, pa.string()),
            "label": pa.array(labels, pa.string()),
            "level": pa.array(levels, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            "probability": pa.array(probabilities, pa.float32()),
            "level_broad": pa.array(nodes, pa.string()),
            "level_broad_probability": pa.array([p / 2 + 0.5 for p in probabilities], pa.float32()),
        }
    )
    pq.write_table(table.replace_schema_metadata(metadata or {}), path)
    return table


CELLS = [
    ("c1", "CD4", "label", None, "T", 0.9),
    ("c2", "T", "broad", "subtype unsure", "T", 0.5),
    ('c"3', "unknown", None, "ambiguous", "T", 0.3),
    ("c4", "CD4", "label", None, "T", 0.7),
    ("c5", "unknown", None, "low quality", HOSTILE[0], 0.4),
    *((f"ü{number}", label, "label", None, label, 0.8) for number, label in enumerate(HOSTILE)),
]


@pytest.fixture
def written(tmp_path):
    """Function that writes cells and returns the predictions and the content of the JSON."""
    labels = write_reference_labels(tmp_path / "labels.json", LEAVES, LEVELS, ontology={"CD4": "CL:0000624"})

    def write(cells=CELLS, **more):
        table = write_predictions(tmp_path / "p.parquet", cells, **more)
        path = tmp_path / "kidney.cas.json"
        write_cell_annotations(str(tmp_path / "p.parquet"), labels, str(path), query="kidney")
        return table, json.loads(path.read_text(encoding="utf-8"))

    return write


def by_label(found, labelset):
    return {each["cell_label"]: each for each in found["annotations"] if each["labelset"] == labelset}


def test_it_is_valid_and_publishable_with_what_the_author_adds(written):
    _, found = written()
    jsonschema.validate(found, BICAN)
    assert found["title"] == "kidney"
    with pytest.raises(jsonschema.ValidationError, match="cellannotation_timestamp"):
        jsonschema.validate(found, CAP)
    jsonschema.validate(found | dict.fromkeys(PUBLISHED, "2025-01-01 00:00:00"), CAP)


def test_label_sets_are_obs_columns_by_rank(written):
    _, found = written()
    assert [(each["name"], each["rank"]) for each in found["labelsets"]] == [("label", 0), ("level_broad", 1)]
    # Without the address of a repository there is no automated_annotation.
    assert "http" not in json.dumps(found)


def test_labels_counts_and_names_are_those_of_the_table(written):
    table, found = written()
    for column in ("label", "level_broad"):
        rows = table.select(["cell", column]).to_pylist()
        annotations = by_label(found, column)
        assert set(annotations) == {row[column] for row in rows}
        for label, each in annotations.items():
            names = [row["cell"] for row in rows if row[column] == label]
            assert each["cell_ids"] == names
            assert each["author_annotation_fields"]["cells"] == len(names)
    assert len({each["cell_set_accession"] for each in found["annotations"]}) == len(found["annotations"])


def test_a_parent_holds_all_cells_of_its_children(written):
    _, found = written()
    sets = {each["cell_set_accession"]: each for each in found["annotations"]}
    children = [each for each in found["annotations"] if "parent_cell_set_accession" in each]
    assert len(children) == 2 + len(HOSTILE)
    for each in children:
        above = sets[each["parent_cell_set_accession"]]
        assert set(each["cell_ids"]) <= set(above["cell_ids"])
        assert above["labelset"] == "level_broad"
    assert sets[by_label(found, "label")["T"]["parent_cell_set_accession"]]["cell_label"] == "T"


def test_a_label_at_two_levels_is_one_annotation(tmp_path):
    levels = {"broad": {"T": "T", "CD8": "T", "B": "B"}}
    labels = write_reference_labels(tmp_path / "labels.json", ["B", "CD8", "T"], levels)
    cells = [("a", "T", "label", None, "T", 0.6), ("b", "T", "broad", "subtype unsure", "T", 0.5)]
    write_predictions(tmp_path / "p.parquet", cells)
    path = tmp_path / "q.cas.json"
    write_cell_annotations(str(tmp_path / "p.parquet"), labels, str(path), query="q")
    (fine, broad) = json.loads(path.read_text())["annotations"]
    assert fine["author_annotation_fields"] == {"cells": 2, "mean_probability": pytest.approx(0.675)}
    assert fine["parent_cell_set_accession"] == broad["cell_set_accession"]


def test_ontology_ids_reasons_and_probabilities(written):
    _, found = written()
    labels = by_label(found, "label")
    assert labels["CD4"]["cell_ontology_term_id"] == "CL:0000624"
    assert [label for label, each in labels.items() if "cell_ontology_term_id" in each] == ["CD4"]
    assert labels["CD4"]["author_annotation_fields"]["mean_probability"] == pytest.approx(0.8)
    # A coarser label has the probability of its own level.
    assert labels["T"]["author_annotation_fields"]["mean_probability"] == pytest.approx(0.75)
    unknown = labels["unknown"]
    assert "ambiguous 1, low quality 1" in unknown["rationale"]
    assert "transferred_annotations" not in unknown
    assert "mean_probability" not in unknown["author_annotation_fields"]
    (transferred,) = labels["CD4"]["transferred_annotations"]
    assert transferred["transferred_cell_label"] == "CD4"
    assert transferred["algorithm_name"].startswith("cellferry ")
    assert "source_taxonomy" not in transferred


def test_the_reference_is_named_where_the_predictions_name_it(written):
    reference = {"name": "lung atlas", "version": "2.1", "sha256": "ab" * 32}
    metadata = {REFERENCE: json.dumps(reference), MADE_FROM: json.dumps({"model": "0123"})}
    _, found = written(metadata=metadata)
    (transferred,) = by_label(found, "label")["CD4"]["transferred_annotations"]
    assert transferred["source_taxonomy"] == "lung atlas 2.1"
    assert "model 0123" in found["description"]


def test_the_same_predictions_give_the_same_bytes(written, tmp_path):
    written()
    first = (tmp_path / "kidney.cas.json").read_bytes()
    written()
    assert (tmp_path / "kidney.cas.json").read_bytes() == first


def test_names_are_left_out_above_a_number_of_cells(written, monkeypatch):
    monkeypatch.setattr(cell_annotations, "MAX_CELLS_WITH_IDS", len(CELLS))
    assert all("cell_ids" in each for each in written()[1]["annotations"])
    monkeypatch.setattr(cell_annotations, "MAX_CELLS_WITH_IDS", len(CELLS) - 1)
    _, found = written()
    jsonschema.validate(found, BICAN)
    assert not any("cell_ids" in each for each in found["annotations"])


def test_memory_does_not_grow_with_the_cells(written, tmp_path):
    few, _ = written()
    path, labels = str(tmp_path / "big.parquet"), str(tmp_path / "labels.json")

    def peak(n_cells):
        """Peak memory of Python and Arrow (MB)."""
        many = few.take(np.random.default_rng(0).integers(0, len(few), n_cells))
        many = many.set_column(0, "cell", pa.array(np.arange(n_cells)).cast(pa.string()))
        pq.write_table(many, path, row_group_size=ROWS_PER_GROUP)
        usual = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        write_cell_annotations(path, labels, str(tmp_path / "big.cas.json"), query="big")
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        pa.set_memory_pool(usual)
        return (python + pool.max_memory()) / 1e6

    # Only a few blocks are held; all of these cells would be 60 MB more.
    assert peak(3_000_000) < peak(1_000_000) + 10
    assert (tmp_path / "big.cas.json").stat().st_size < 10_000
