"""train_classifier with several references: their labels of each other's cells, and the nearest one."""

import numpy as np
import pandas as pd
import pytest
from cellferry.config.settings import ClassifierSettings
from cellferry.heads.classifier import Classifier
from cellferry.heads.reference_datasets import ReferenceDatasets
from cellferry.heads.scanvi import ScanviHead
from cellferry.heads.training import TrainingFiles
from cellferry.resources.budget import Budget
from example_artifacts import write_reference_labels
from mapped import latents_at, write_part
from simulate import settings_like
from threadpoolctl import threadpool_limits
from train_classifier import train_classifier

ATLAS = {0: "T", 1: "T", 2: "NK", 3: "B"}
BLOOD = {0: "CD4", 1: "CD8", 2: "B", 3: "NK", 4: "pDC"}
"""Names of the types in two datasets: one name covers two types, and the names of two are swapped."""


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


class References:
    """Reference datasets with cells of five types, each with its own names of them."""

    def __init__(self, folder, *, heads=("linear", "neighbors", "expression"), spread=0.5, markers=False):
        self.folder, self.heads, self.spread, self.markers = folder, heads, spread, markers

    def train(self, cells, held_out=(), *, model=None, **more):
        """Train on cells, (dataset, place, label, number) each; returns the table."""
        train = self.part("train", cells, seed=1)
        validation = self.part("validation", held_out, seed=2)
        (self.folder / "model").mkdir()
        if model:
            model.save(self.folder / "model")
        names = sorted({label for _, _, label, _ in cells})
        table = self.folder / "evaluation" / "label_agreement.tsv"
        table.parent.mkdir()
        train_classifier(
            TrainingFiles(
                train.mapped, validation.mapped, str(self.folder / "model"), train.common, validation.common
            ),
            write_reference_labels(self.folder / "labels.json", names),
            str(self.folder / "classifier"),
            str(table),
            settings=settings_like(ClassifierSettings, **{"heads": list(self.heads), "n_trees": 10} | more),
            modality="cytometry" if self.markers else "rna",
            seed=0,
            budget=Budget(4000),
            threads=1,
        )
        return pd.read_csv(table, sep="\t", keep_default_na=False)

    def part(self, name, cells, *, seed):
        rows = [(dataset, place, label) for dataset, place, label, n in cells for _ in range(n)]
        order = np.random.default_rng(seed).permutation(len(rows))
        rows = [rows[row] for row in order]
        return write_part(
            self.folder / name,
            [place for _, place, _ in rows],
            labels=[label for _, _, label in rows],
            batches=tuple(f"{dataset}/{row % 2}" for row, (dataset, _, _) in enumerate(rows)) or ("a/1",),
            spread=self.spread,
            markers=self.markers,
            seed=seed,
        )


def both(n, **numbers):
    """Cells of each type of both datasets."""
    named = {"atlas": ATLAS, "blood": BLOOD}
    return [
        (dataset, place, label, numbers.get(dataset, n))
        for dataset, labels in named.items()
        for place, label in labels.items()
    ]


def relations(table):
    """Related pairs of labels, by (dataset, label, called)."""
    told = table[table["relation"] != ""]
    return {
        (row.dataset, row.label): sorted(
            zip(*(told.loc[(told.dataset == row.dataset) & (told.label == row.label), name] for name in
                  ("called", "relation")), strict=True)
        )
        for row in told.itertuples()
    }  # fmt: skip


EXPECTED = {
    ("atlas", "T"): [("CD4", "broader"), ("CD8", "broader")],
    ("atlas", "NK"): [("B", "same")],
    ("atlas", "B"): [("NK", "same")],
    ("blood", "CD4"): [("T", "narrower")],
    ("blood", "CD8"): [("T", "narrower")],
    ("blood", "B"): [("NK", "same")],
    ("blood", "NK"): [("B", "same")],
}


@pytest.mark.parametrize(
    "heads", [("linear", "neighbors", "expression"), ("xgboost", "expression"), ("xgboost",), ("expression",)]
)
def test_what_is_merged_and_what_is_swapped_is_found_and_nothing_else(tmp_path, heads):
    table = References(tmp_path, heads=heads).train(both(60), both(20))
    found = relations(table)
    # A type that the atlas lacks gets some label of it.
    ((_, relation),) = found.pop(("blood", "pDC"))
    assert relation == "no counterpart"
    assert found == EXPECTED
    conflicts = table[table["conflict"] == "yes"]
    assert set(zip(conflicts["dataset"], conflicts["label"], strict=True)) == {
        ("atlas", "NK"), ("atlas", "B"), ("blood", "NK"), ("blood", "B"),
    }  # fmt: skip


def test_labels_that_agree_are_in_no_conflict(tmp_path):
    same = [("atlas", place, f"type {place}", 50) for place in range(4)]
    same += [("blood", place, f"type {place}", 50) for place in range(4)]
    table = References(tmp_path).train(same)
    assert set(table["conflict"]) == {"no"}
    assert relations(table) == {
        (dataset, f"type {place}"): [(f"type {place}", "same")]
        for dataset in ("atlas", "blood")
        for place in range(4)
    }
    assert (table.loc[table["relation"] == "same", "share"].astype(float) > 0.9).all()


def test_held_out_cells_are_labeled_where_there_are_enough(tmp_path):
    """One dataset may have held-out donors, and another may not."""
    table = References(tmp_path).train(both(40), [cells for cells in both(12) if cells[0] == "blood"])
    assert {(row.dataset, row.part, row.cells) for row in table.itertuples() if row.label != "T"} == {
        ("atlas", "training", 40),
        ("blood", "held-out", 12),
    }
    found = relations(table)
    found.pop(("blood", "pDC"))
    assert found == EXPECTED


def test_of_a_model_that_saw_labels_held_out_cells_count_alone(tmp_path):
    """Its classifier was trained on all datasets, so it labels none of their cells here."""
    names = sorted({*ATLAS.values(), *BLOOD.values()})
    model = ScanviHead(
        np.array(names), False, weight_0=np.zeros((len(names), 5)), bias_0=np.zeros(len(names))
    )
    held_out = [cells for cells in both(20) if cells[2] != "pDC"]
    table = References(tmp_path, heads=("scanvi", "linear")).train(both(60), held_out, model=model)
    assert set(table["part"]) == {"held-out"}
    found = relations(table)
    assert found.pop(("blood", "pDC")) == [("", "too few cells")]
    assert found == EXPECTED


def test_markers_of_cytometry_are_learned_from_as_well(tmp_path):
    heads = ("linear", "cytovi", "expression", "expression_xgboost")
    cells = [row for row in both(60) if row[2] != "pDC"]
    assert relations(References(tmp_path, heads=heads, markers=True).train(cells)) == EXPECTED


def test_cells_get_labels_of_the_other_dataset_alone(tmp_path):
    table = References(tmp_path).train(both(60))
    named = {"atlas": set(ATLAS.values()), "blood": set(BLOOD.values())}
    for row in table.itertuples():
        assert row.label in named[row.dataset]
        assert row.called in named[row.reference]
        assert row.dataset != row.reference


def test_shares_of_a_label_are_of_all_its_cells(tmp_path):
    table = References(tmp_path, spread=1.5).train(both(60))
    sums = table.groupby(["dataset", "label"])["share"].sum()
    np.testing.assert_allclose(sums, 1)
    of_nk = table[(table.dataset == "atlas") & (table.label == "NK") & (table.called == "B")].iloc[0]
    back = table[(table.dataset == "blood") & (table.label == "B") & (table.called == "NK")].iloc[0]
    assert float(of_nk["share_back"]) == float(back["share"])


def test_datasets_that_cannot_be_compared_are_named(tmp_path, capsys):
    """One dataset has a single label, another a label of few cells; they share no label."""
    cells = [("atlas", 0, "a", 40), ("atlas", 1, "b", 40), ("atlas", 2, "c", 4)]
    cells += [("lung", 3, "d", 40), ("few", 0, "e", 3), ("few", 1, "f", 3)]
    table = References(tmp_path).train(cells)
    table = table.drop_duplicates(["dataset", "label", "reference"])
    told = {(row.dataset, row.label, row.reference): (row.called, row.relation) for row in table.itertuples()}
    assert told["lung", "d", "atlas"][1] == "one way only"
    assert told["atlas", "a", "lung"] == ("", "reference labels nothing")
    assert told["atlas", "c", "lung"] == ("", "reference labels nothing")
    assert told["few", "e", "atlas"] == ("", "too few cells")
    assert set(table["conflict"]) == {"no"}
    log = capsys.readouterr().out
    assert "lung: fewer than two labels have 10 training cells" in log
    assert "few: 6 training cells are too few to be a cell's nearest reference" in log


def test_types_of_one_dataset_are_nearest_to_it(tmp_path):
    """The datasets share one type; each has another of its own."""
    cells = [("atlas", 0, "a", 400), ("atlas", 1, "b", 400), ("blood", 2, "c", 60), ("blood", 0, "a", 60)]
    References(tmp_path).train(cells)
    classifier = Classifier(tmp_path / "classifier", threads=1)
    query = [1] * 200 + [2] * 200 + [0] * 200
    found = classifier.reference_datasets.nearest([latents_at(query, spread=0.5, seed=7)])
    assert (found.names[:200] == "atlas").mean() > 0.99
    assert (found.names[200:400] == "blood").mean() > 0.99
    # The shared type is near to both, however many of its cells they have.
    assert np.median(found.next_distance[400:]) < 1
    assert np.median(found.next_distance[:400]) > 2
    assert 0.3 < (found.names[400:] == "atlas").mean() < 0.7
    assert (found.distance <= found.next_distance).all()


def test_of_two_mappings_the_nearer_counts(tmp_path):
    References(tmp_path).train(both(40))
    datasets = Classifier(tmp_path / "classifier", threads=1).reference_datasets
    near = latents_at([4] * 30, spread=0.5, seed=3)
    far = near + np.float32(50)
    one, two = datasets.nearest([near]), datasets.nearest([far, near])
    np.testing.assert_array_equal(one.distance, two.distance)
    np.testing.assert_array_equal(one.names, two.names)


def test_a_cell_s_nearest_reference_does_not_depend_on_the_others(tmp_path):
    References(tmp_path).train(both(40))
    datasets = Classifier(tmp_path / "classifier", threads=1).reference_datasets
    latents = latents_at([0, 1, 2, 3, 4] * 40, spread=1.0, seed=5)
    whole = datasets.nearest([latents])
    parts = [datasets.nearest([latents[start : start + 7]]) for start in range(0, 200, 7)]
    for name in whole._fields:
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name)
        )


def test_a_reference_of_one_dataset_has_no_nearest(tmp_path):
    assert ReferenceDatasets.load(tmp_path, np.zeros((3, 2), np.float32)) is None
    assert ReferenceDatasets.train(np.zeros((40, 2), "f4"), np.zeros(40, int), ["a"], n_neighbors=5) is None
