"""Comparison of two tables of labels: counts, and causes of changes."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.json_files import write_artifact
from cellferry.commands.compare import pairs as pairs_module
from cellferry.commands.compare.__main__ import compare, main
from cellferry.commands.compare.causes import (
    MEANING,
    ONLY_IN_A,
    ONLY_IN_B,
    OTHER_ANSWER,
    OUTSIDE,
    PROBABILITY,
    QUALITY,
    RARE,
    THRESHOLD,
)
from cellferry.labels.vocabulary import AMBIGUOUS, LOW_QUALITY, OUT_OF_REFERENCE, RARE_LABEL, SUBTYPE_UNSURE
from cellferry.runs.hashes import MADE_FROM, REFERENCE, of_files
from example_artifacts import decision_of, gene_loss_of, write_reference_labels

COLUMNS = ["cell", "label", "level", "reason", "best_label", "probability"]


def write(run, cells, *, query="kidney", made_from=None, reference=None, batches=None, rows=7):
    """Results of a run with cells as tuples of `COLUMNS`; returns the folder of results."""
    results = run / "results"
    (results / "predictions").mkdir(parents=True, exist_ok=True)
    columns = dict(zip(COLUMNS, zip(*cells, strict=True), strict=True))
    types = dict.fromkeys(COLUMNS, pa.string()) | {"probability": pa.float32()}
    table = pa.table({name: pa.array(columns[name], types[name]) for name in COLUMNS})
    metadata = {MADE_FROM: json.dumps(made_from or {}), REFERENCE: json.dumps(reference or {})}
    table = table.replace_schema_metadata(metadata)
    pq.write_table(table, results / "predictions" / f"{query}.parquet", row_group_size=rows)
    if batches:
        mapped = results / "mapped" / query
        mapped.mkdir(parents=True)
        half = len(cells) // 2
        for number, piece in enumerate((slice(0, half), slice(half, None))):
            of_piece = pa.table(
                {"cell": columns["cell"][piece], "batch": pa.array(batches[piece], pa.string())}
            )
            pq.write_table(of_piece, mapped / f"{number}.parquet")
    return results


def cell(name, label, *, level="label", reason=None, best=None, p=0.9):
    return (name, label, None if label == "unknown" else level, reason, best or label, p)


KNOWN = [cell("k1", "T"), cell("k2", "B"), cell("k3", "NK")]
"""Cells with all three labels, for both tables."""


def rows_of(path):
    return pd.read_csv(path, sep="\t", keep_default_na=False)


def changes(tmp_path, a, b, **more):
    """Rows of the written table by both labels, without unchanged ones."""
    output = tmp_path / "changes.tsv"
    compare(str(write(tmp_path / "a", a)), str(write(tmp_path / "b", b)), output=str(output), **more)
    rows = rows_of(output)
    assert list(rows.columns) == ["label_a", "label_b", "cause", "cells"]
    rows = rows[rows["cause"] != "same"]
    return [tuple(row) for row in rows.itertuples(index=False)]


CASES = {
    "head": (cell("x", "T"), cell("x", "B"), OTHER_ANSWER),
    "unknown by another best label": (
        cell("x", "T"), cell("x", "unknown", reason=AMBIGUOUS, best="B", p=0.4), OTHER_ANSWER,
    ),
    "fell below": (cell("x", "T"), cell("x", "unknown", reason=AMBIGUOUS, best="T", p=0.4), PROBABILITY),
    "rose above": (cell("x", "unknown", reason=AMBIGUOUS, best="T", p=0.4), cell("x", "T"), PROBABILITY),
    "threshold": (
        cell("x", "T", p=0.7), cell("x", "unknown", reason=AMBIGUOUS, best="T", p=0.70001), THRESHOLD,
    ),
    "coarser": (
        cell("x", "T", p=0.8),
        cell("x", "lymphoid", level="broad", reason=SUBTYPE_UNSURE, best="T", p=0.6),
        ONLY_IN_B,
    ),
    "quality": (cell("x", "T"), cell("x", "unknown", reason=LOW_QUALITY, best="B"), QUALITY),
    "outside": (cell("x", "unknown", reason=OUT_OF_REFERENCE, best="T"), cell("x", "T"), OUTSIDE),
    "rare": (cell("x", "T"), cell("x", "unknown", reason=RARE_LABEL, best="T"), RARE),
    "renamed": (cell("x", "T cell"), cell("x", "T"), ONLY_IN_A),
    "new": (cell("x", "T"), cell("x", "MAIT"), ONLY_IN_B),
    "gone, and outside": (
        cell("x", "MAIT"), cell("x", "unknown", reason=OUT_OF_REFERENCE, best="T"), ONLY_IN_A,
    ),
    "unsure between new ones": (
        cell("x", "T"), cell("x", "unknown", reason=AMBIGUOUS, best="MAIT", p=0.4), ONLY_IN_B,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_cause(tmp_path, case):
    a, b, cause = CASES[case]
    assert changes(tmp_path, [*KNOWN, a], [*KNOWN, b]) == [(a[1], b[1], cause, 1)]


def test_every_cause_is_tried():
    assert {cause for _, _, cause in CASES.values()} == set(MEANING)


def test_a_label_of_the_reference_that_no_cell_got_is_known(tmp_path):
    a, b = [cell("x", "T"), *KNOWN], [cell("x", "MAIT"), *KNOWN]
    (tmp_path / "a/results/reference").mkdir(parents=True)
    write_reference_labels(tmp_path / "a/results/reference/labels.json", ["T", "B", "NK", "MAIT"])
    assert changes(tmp_path, a, b) == [("T", "MAIT", OTHER_ANSWER, 1)]


def random_cells(n, seed, order=None):
    draw = np.random.default_rng(seed)
    names = [f"cell {number}" for number in (range(n) if order is None else order)]
    labels = draw.choice(["T", "B", "NK", "unknown"], len(names))
    best = draw.choice(["T", "B", "NK"], len(names))
    return [
        (name, label, None if label == "unknown" else "label", AMBIGUOUS if label == "unknown" else None,
         best[row] if label == "unknown" else label, float(draw.random()))
        for row, (name, label) in enumerate(zip(names, labels, strict=True))
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["same", "shuffled", "overlapping"])
def test_pairs_are_those_of_a_join_in_memory(tmp_path, monkeypatch, capsys, order):
    monkeypatch.setattr(pairs_module, "CELLS_PER_PART", 50)
    shuffled = np.random.default_rng(9).permutation(400)
    names = {"same": None, "shuffled": shuffled, "overlapping": shuffled[:300] + 50}[order]
    a, b = random_cells(400, 1), random_cells(400, 2, names)
    batches = [f"donor{number % 3}" for number in range(400)]
    first, second = write(tmp_path / "a", a, batches=batches), write(tmp_path / "b", b, rows=11)
    output = tmp_path / "out.tsv"
    assert main(["--a", str(first), "--b", str(second), "--output", str(output)]) == 0
    left, right = (pd.DataFrame(cells, columns=COLUMNS).set_index("cell") for cells in (a, b))
    joined = left.join(right, how="inner", lsuffix="_a", rsuffix="_b")
    expected = joined.groupby(["label_a", "label_b"]).size()
    found = rows_of(output).groupby(["label_a", "label_b"])["cells"].sum()
    pd.testing.assert_series_equal(found, expected, check_names=False)
    said = capsys.readouterr().out
    same = (joined["label_a"] == joined["label_b"]).sum()
    assert f"{len(joined)} cells are in both" in said
    assert f"Same label: {same} " in said
    assert ("in the same order" in said) == (order == "same")
    assert ("only in A: " in said) == (order == "overlapping")
    if order == "overlapping":
        assert f"only in A: {400 - len(joined)} cells" in said
        assert f"only in B: {300 - len(joined)} cells" in said
    joined["changed"] = joined["label_a"] != joined["label_b"]
    joined["donor"] = pd.Series(batches, index=left.index)[joined.index]
    lines = [line.split()[:3] for line in said.splitlines()]
    for donor, cells in joined.groupby("donor"):
        assert [donor, str(len(cells)), str(cells["changed"].sum())] in lines


def test_parts_without_cells_are_joined_too(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs_module, "CELLS_PER_PART", 1)
    a = write(tmp_path / "a", KNOWN, batches=["d1", "d1", "d2"])
    b = write(tmp_path / "b", [cell("k3", "T"), cell("other", "B"), cell("k1", "T")])
    said = compare(str(a), str(b))
    assert "2 cells are in both, matched by name. Same label: 1 (50.0 %). Changed: 1." in said
    assert re.search(r"^d2 +1 +1 +100.0 %$", said, re.M)


def test_what_differs_is_said_and_what_does_not(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for run, thresholds in ((a, {"T": 0.5}), (b, {"T": 0.75})):
        mapped = run / "results/mapped/kidney"
        mapped.mkdir(parents=True)
        write_artifact(decision_of(thresholds={"label": thresholds}), mapped / "calibration.json")
        write_artifact(
            gene_loss_of(0.0, genes=100, measured=90 if run == a else 100), mapped / "gene_loss.json"
        )
        made_from = {"model": "m1", "genes": "g1", "classifier": f"of {run.name}"}
        made_from["decision"] = of_files(mapped / "calibration.json")
        reference = {"name": "atlas", "version": "1" if run == a else "2", "sha256": "ab" * 32}
        write(run, KNOWN, made_from=made_from, reference=reference)
    said = compare(str(a), str(b))
    assert re.search(r"^reference +atlas 1 +atlas 2$", said, re.M)
    assert "90 of 100" in said
    assert "of held-out cells, median 0.500" in said
    assert "of held-out cells, median 0.750" in said
    same = next(line for line in said.splitlines() if line.startswith("same in both"))
    assert "model's weights" in same
    assert "hash of the reference" in same
    assert "classifiers," not in same


def test_labels_of_one_table_only_and_what_became_of_them(tmp_path):
    a = [*KNOWN, *(cell(f"x{number}", "T naive") for number in range(4))]
    b = [*KNOWN, *(cell(f"x{number}", "CD4" if number else "CD8") for number in range(4))]
    said = compare(str(write(tmp_path / "a", a)), str(write(tmp_path / "b", b)))
    assert "T naive" in said.partition("only in A")[2]
    assert "CD4 75.0 %, CD8 25.0 %" in said
    assert "became unknown: 0" in said


def test_hostile_names_stay_on_their_line(tmp_path, capsys):
    a, b = [*KNOWN, cell("x\n", 'a"b\x1b')], [*KNOWN, cell("x\n", "γδ\u2028T")]
    output = tmp_path / "o.tsv"
    given = [
        "--a",
        str(write(tmp_path / "a", a)),
        "--b",
        str(write(tmp_path / "b", b)),
        "--output",
        str(output),
    ]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u2028" not in said
    assert set(rows_of(output)["label_b"]) == {"T", "B", "NK", "γδ\u2028T"}
