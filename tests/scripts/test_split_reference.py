"""split_reference: what is dropped, what is refused, what is written."""

import numpy as np
import pytest
from cellferry.budget import Budget
from cellferry.errors import InputError
from cellferry.splits import SPLITS, read_split
from simulate import simulate_cells, write_cells
from split_reference import split_reference

SETTINGS = {"by": "auto", "validation": 0.1, "test": 0.1, "min_cells_per_label": 10, "seed": 0}


def split(tmp_path, cells, **settings):
    write_cells(tmp_path / "merged.h5ad", cells, "atlas")
    splits = str(tmp_path / "splits.parquet")
    split_reference([str(tmp_path / "merged.h5ad")], splits, **{**SETTINGS, **settings}, budget=Budget(1000))
    parts = np.full(cells.n_obs, None)
    for part in SPLITS:
        parts[read_split(splits, part)] = part
    return parts


def test_every_part_holds_every_label(tmp_path):
    cells = simulate_cells(300)
    parts = split(tmp_path, cells)
    for part in ("train", "validation", "test"):
        assert set(cells.obs["cell_type"][parts == part]) == {"T cell", "B cell", "NK"}


def test_rare_labels_and_cells_without_label_are_left_out_and_named(tmp_path, capsys):
    cells = simulate_cells(300)
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[:4] = "rare"
    labels[4:8] = None
    labels[8] = "unknown"
    cells.obs["cell_type"] = labels
    parts = split(tmp_path, cells)
    assert all(part is None for part in parts[:9])
    assert not any(part is None for part in parts[9:])
    said = capsys.readouterr().out
    assert "label 'rare' is dropped: 4 cells" in said
    assert "5 of 300 cells have no label, or are" in said


def test_one_label_is_refused(tmp_path):
    cells = simulate_cells(60, labels=("T cell",))
    with pytest.raises(InputError, match=r"1 label\(s\).*two are needed.*min_cells_per_label"):
        split(tmp_path, cells)


def test_whole_batches_asked_for_where_there_are_none(tmp_path):
    with pytest.raises(InputError, match=r"split\.by is 'batch', but .* set it to 'label' or 'auto'"):
        split(tmp_path, simulate_cells(60), by="batch")


def test_whole_batches(tmp_path):
    cells = simulate_cells(300, batches=tuple("abcdefgh"))
    parts = split(tmp_path, cells)
    for sample in "abcdefgh":
        assert len(np.unique(parts[(cells.obs["sample"] == sample).to_numpy()].astype(str))) == 1


def test_several_references_are_split_as_one(tmp_path):
    """Batches of all are held back whole, and a label's cells are counted over all of them."""
    first = simulate_cells(200, batches=("a", "b"))
    second = simulate_cells(150, labels=("NK", "mast", "T cell"), batches=("c", "d", "e"), seed=1)
    for cells in (first, second):
        cells.obs["cell_type"] = cells.obs["cell_type"].astype(object).to_numpy()
    first.obs.iloc[:6, 0] = "rare"
    second.obs.iloc[:6, 0] = "rare"
    paths = []
    for name, cells in {"atlas": first, "blood": second}.items():
        paths.append(str(tmp_path / f"{name}.h5ad"))
        write_cells(paths[-1], cells, name)
    splits = str(tmp_path / "splits.parquet")
    split_reference(paths, splits, **SETTINGS, budget=Budget(1000))
    parts = np.full(350, None)
    for part in SPLITS:
        parts[read_split(splits, part)] = part
    assert not any(part is None for part in parts)  # the rare label has 12 cells in both together
    batches = np.concatenate([first.obs["sample"].astype(str), second.obs["sample"].astype(str)])
    for sample in "abcde":
        assert len(set(parts[batches == sample])) == 1, sample
    labels = np.concatenate([first.obs["cell_type"], second.obs["cell_type"]])
    assert set(labels[parts == "train"]) == set(labels)
