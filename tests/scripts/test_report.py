"""The report's page: contents of its sections."""

import html
import re

import h5py
import numpy as np
import pandas as pd
from cellferry.artifacts.decision import RaisedThresholds
from cellferry.artifacts.evaluation import ConfusedLabels
from cellferry.artifacts.json_files import write_artifact
from cellferry.report.remarks import remarks
from example_artifacts import decision_of, write_features, write_reference_labels
from report_world import FAMILY, FOREIGN, LABELS, RARE, REASONS, World


def test_page_is_self_contained_and_escaped(tmp_path):
    page = World(tmp_path, queries=["q1", "q2"], scored=["test", "q1"], labels=LABELS).draw()
    text = re.sub(r'"data:image/[^"]+"', '"picture"', page.source)
    # Names of XML namespaces are not fetched addresses.
    text = re.sub(r'xmlns(:xlink)?="[^"]*"', "", text)
    assert "://" not in text
    assert re.search(r"<script[^>]* src|<link|@import|url\((?!#)", text) is None
    for label in [*LABELS, FOREIGN]:
        assert html.escape(label, quote=False) in text
    assert "<CD4>" not in text
    assert FOREIGN not in text
    assert page.source.count('src="data:image/') == 4  # the maps
    assert page.source.count("<svg") == 1 + 2 + 1  # reliability, confusions, training
    assert len(page.source) < 10 * 1024**2


def test_page_opens_with_the_answer(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    found = re.search(r"(\d+) of 60 cells got one of 4 labels; (\d+) \(", page.text)
    assert int(found[1]) + int(found[2]) == 60
    error = r"Expected error of these labels: \d+\.\d% here, 3\.3% on the reference's held-out cells \(an"
    assert re.search(error, page.text)
    assert "an optimistic figure: the classifiers were trained on the same donors" in page.text
    assert page.headings[:2] == ["Results", "Accuracy"]
    for expected in ("0.912", "0.834", "1,342", "512 MB", "30.5 s"):
        assert expected in page.text


def test_scores_are_shown_level_by_level(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test", "q1"], labels=LABELS, levels=FAMILY)
    page = world.draw()
    section = page.section("Scores per level").text
    for level, found in world.scores("q1").levels.items():
        assert level in section
        for head in ("forced", "answer"):
            assert f"{found.heads[head].macro_f1:.3f}" in section
    assert "10 got a label of a coarser level" in page.text
    assert "subtype unsure 10" in page.text
    one_level = World(tmp_path / "one", queries=["q1"], scored=["test"], labels=LABELS)
    assert "Scores per level" not in one_level.draw().source


def test_reasons_and_risk_are_shown_per_query(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    page, rejection = world.draw(), world.scores("test").rejection
    row = page.section("Accepted labels and their errors").row("test")
    assert row[1:3] == ["60", "83.3%"]
    assert row[3:6] == [str(n) for n in rejection.reasons.values()]
    assert row[7] == f"{rejection.all_truth.error_among_accepted:.1%}"
    answered = page.source.partition('id="trust"')[0]
    for reason in REASONS:
        assert re.search(rf"{reason} \d", answered)


def test_labels_that_are_confused_and_those_that_are_not_seen(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    world.change_scores("test", confused_labels=[ConfusedLabels(LABELS[:2], 0.25, 5, 20)])
    page = world.draw(left_out=world.write_left_out())
    row = page.section("Confused labels").row("test")
    assert row == ["test", " – ".join(LABELS[:2]), "20", "5 (25.0%)"]
    unseen = page.section("Labels missing from the reference")
    assert f"{RARE} (4 cells)" in unseen.text
    reasons = {row[1]: row[2] for row in unseen.rows if row[:1] == ["test"]}
    assert reasons == {FOREIGN: "not in the reference", RARE: "too few cells"}
    left_out = unseen.row("T <CD4> & co")
    assert left_out == ["T <CD4> & co", "50", "40", "80.0%", "B (30), γδ $T$ (10)", "0.971", "0.500", "–"]
    assert any("mistaken for other labels if they are missing" in remark for remark in page.remarks)


def test_nothing_confused_and_nothing_unseen_is_said_so(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    world.change_scores("test", labels_not_in_reference={}, labels_not_predictable={}, confused_labels=[])
    write_reference_labels(tmp_path / "labels.json", LABELS)
    page = world.draw()
    assert "No pair of labels" in page.text
    assert "Not measured: no scored cell" in page.text


def test_what_was_learned_from_held_out_cells_and_hashes(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS).draw()
    learned = "90 of 100 held-out cells got a label, 3 a wrong one (3.3%; below 8.4% with 95 % confidence"
    for expected in ("model 0123abcd", learned, "linear 0.500, expression 0.500"):
        assert expected in page.text


def test_genes_that_a_query_lacks(tmp_path):
    world = World(tmp_path, queries=["q1", "q2"], scored=["test"], labels=LABELS)
    world.write_gene_loss("q1", 0.2)
    world.write_gene_loss("q2", 0.01, without_ortholog=1234)
    page = world.draw()
    section = page.section("Genes of the model that a query lacks")
    assert section.row("q2")[2] == "547 (1,234 have no ortholog)"
    row = section.row("q1")
    assert row[1:8] == ["4,000", "547", "0.964", "0.764", "0.200", "0.010", "B (1.000 to 0.250)"]
    (remark,) = [remark for remark in page.remarks if ": lacks" in remark]
    assert remark.startswith("q1: lacks 3,453 of the model")
    assert "train on common genes (loss of the retrained baseline: 0.010)" in remark


def test_a_panel_that_training_anew_would_not_help(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    world.write_gene_loss("q1", 0.2, baseline_f1_retrained=0.65, advice=False)
    (remark,) = [remark for remark in world.draw().remarks if ": lacks" in remark]
    assert remark.endswith(
        "estimated loss of macro-F1: 0.200; training on its genes does not help (loss of the retrained "
        "baseline: 0.250); provide coarser labels."
    )


def test_what_fitting_changes_is_shown_of_queries_that_were_mapped_twice(tmp_path):
    world = World(
        tmp_path, queries=["q1", "q2"], scored=["test", "q2"], labels=LABELS, mapped_twice=("q1", "q2")
    )
    section = world.draw().section("Effect of fitting the model to a query")
    same = pd.read_parquet(world.predictions[1]).eval("fitted_label == unfitted_label").mean()
    assert section.row("q1") == ["q1", f"{same:.1%}", "–", "–"]
    heads = world.scores("q2").heads
    accuracies = [f"{heads[mapping].accuracy:.3f}" for mapping in ("fitted", "unfitted")]
    assert section.row("q2")[2:] == accuracies
    # The test part was mapped once.
    assert world.draw().section("Scores per classifier").row("test")[-2:] == ["–", "–"]
    # Labels are random here: most change.
    assert any("q1: fitting the model to its batches changes the label of" in r for r in world.draw().remarks)


def test_what_raised_thresholds_change_is_said_of_the_query(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    raised = RaisedThresholds(1000, 600, 850, 0.049, 0.137)
    path = tmp_path / "mapped/q1/raised.json"
    write_artifact(decision_of({}, raised=raised), path)
    text = world.draw(raised=[str(path)]).text
    assert "25.0% of the cells got no label for this reason" in text
    assert "the held-out cells, the expected error would be 13.7%" in text
    assert "got no label for this reason" not in world.draw().text


def test_many_labels(tmp_path):
    labels = [f"label number {n}" for n in range(200)]
    page = World(tmp_path, queries=["q1"], scored=["test"], labels=labels, cells=3000).draw()
    assert "smaller labels" in page.source
    assert "The 60 largest of 202 labels" in page.text  # with the rare and the foreign one
    assert len(page.source) < 10 * 1024**2


def test_a_model_of_others_leaves_things_unsaid(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["q1"], labels=LABELS)
    world.settings["config"]["pretrained"] = {"model": "atlas/model", "latents": "cells.h5ad"}
    world.settings["references"] = []
    world.change_scores("q1", baseline=None)
    found = remarks({}, {"q1": world.scores("q1")}, None, gene_loss={}, rare={}, left_out={})
    assert not [remark for remark in found if "baseline" in remark]
    with h5py.File(tmp_path / "q1.h5ad", "w") as file:
        file["var/measured"] = np.array([True] * 3 + [False])
    page = world.draw(common=[str(tmp_path / "q1.h5ad")])
    assert "Cell-type labels from atlas/model" in page.text
    assert "the accuracy lost to missing genes cannot be estimated" in page.text
    assert ["q1", "4", "3", "75.0%"] in page.rows


def test_what_an_earlier_run_says_of_its_datasets_is_not_said_of_these(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=["test"], labels=LABELS)
    write_features(tmp_path / "genes.json", ("q1", "index"), numbers={"common_share": 0.1}, n_selected=900)
    assert "only 10.0% of its genes" in world.draw().text
    world.settings["config"]["pretrained"] = "earlier/results"
    world.settings["references"] = []
    world.write_gene_loss("q1", 0.01)
    page = world.draw()
    for unsaid in ("only 10.0% of its genes", "common to all datasets"):
        assert unsaid not in page.source
    assert "10.0%" not in page.section("Genes and datasets").source
    assert ">900<" in page.source
    assert page.section("Genes of the model that a query lacks").row("q1")[1:3] == ["4,000", "547"]
