"""Supporting and shifted genes in the report, and the message without any."""

import html

from report_world import LABELS, World

HEADING = "Supporting and shifted genes"


def test_a_label_has_its_genes_its_runner_up_and_what_moved(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, explained=["q1"]).draw()
    rows = [row for row in page.section("q1").rows if len(row) == 5 and "G1" in row[3]]
    assert [row[0] for row in rows] == LABELS
    assert rows[1][1:] == [
        "99",
        LABELS[0],
        # A low mean supports G2; G3 lies beyond both labels.
        "G1 40 %, less G2 20 %, G3* 13 %",
        ", ".join(f"M{rank} +0.7" for rank in range(1, 9)) + " and 2 more",
    ]


def test_what_moved_in_most_labels_stands_first_with_its_direction(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, explained=["q1"]).draw()
    text = page.section("q1").text
    assert "in most of 4 labels, in standard deviations, up: <S1> +2.5; down: <S2> −1.5." in text
    assert html.escape("<S1>") in page.source
    assert text.index("<S1>") < text.index("G1 40 %")


def test_of_many_labels_those_with_few_cells_are_folded_and_the_rest_left_out(tmp_path, monkeypatch):
    labels = [f"label {number}" for number in range(60)]
    monkeypatch.setattr("cellferry.report.label_genes.MAX_LABELS_SHOWN", 50)
    page = World(tmp_path, queries=["q1"], scored=[], labels=labels, cells=600, explained=["q1"]).draw()
    assert "25 labels with fewer cells, of 35" in page.section("q1").text
    assert page.section("q1").text.count("less G2 ") == 50


def test_without_genes_there_is_a_word(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, explained=["q1"])
    for path in (*world.label_genes, *world.shifted_genes):
        with open(path, encoding="utf-8") as file:
            header = file.readline()
        with open(path, "w", encoding="utf-8") as file:
            file.write(header)
    assert "No genes: the classifiers have no expression" in world.draw().section("q1").text


def test_without_a_linear_model_what_moved_is_still_there(tmp_path):
    world = World(tmp_path, queries=["q1"], scored=[], labels=LABELS, explained=["q1"])
    with open(world.label_genes[0], encoding="utf-8") as file:
        header = file.readline()
    with open(world.label_genes[0], "w", encoding="utf-8") as file:
        file.write(header)
    text = world.draw().section("q1").text
    assert "No linear model on expression was trained" in text
    assert "M1 +0.7" in text


def test_a_query_that_is_not_predicted_yet_has_no_genes(tmp_path):
    page = World(tmp_path, queries=["q1"], scored=[], labels=LABELS).draw()
    assert HEADING not in page.text
