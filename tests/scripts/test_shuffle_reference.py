"""shuffle_reference: the store holds the very cells, shuffled, whatever the memory."""

import numpy as np
import pytest
import shuffle_reference as script
import zarr
from cellferry.model.store import StoreDataModule
from cellferry.resources.budget import Budget
from simulate import simulate_cells, write_cells


@pytest.fixture
def cells(tmp_path):
    cells = simulate_cells(1500, n_genes=40, batches=("a", "b"))
    write_cells(tmp_path / "common.h5ad", cells, "atlas")
    return cells


def store(tmp_path, **settings):
    path = tmp_path / "store.zarr"
    script.shuffle_reference(
        str(tmp_path / "common.h5ad"), str(path), **{"seed": 0, "budget": Budget(1100), **settings}
    )
    return path


def minibatches(path, loader="train_dataloader", monitored_share=0.1, batch_size=128):
    module = StoreDataModule(
        path,
        batch_size=batch_size,
        monitored_share=monitored_share,
        batch_mapping=np.array([0, 1]),
        label_mapping=np.array([0, 1, 2]),
        seed=0,
    )
    return [module.on_before_batch_transfer(batch, 0) for batch in getattr(module, loader)()]


def rows(batches):
    """Cells as rows of counts, batch and label, sorted, to compare sets of cells."""
    stacked = [np.hstack([b["X"].numpy(), b["batch"].numpy(), b["labels"].numpy()]) for b in batches]
    return sorted(map(tuple, np.vstack(stacked)))


def expected(cells):
    codes = cells.obs["sample"].cat.codes.to_numpy(), cells.obs["cell_type"].cat.codes.to_numpy()
    # The store's codes are in the order in which categories first appear.
    order = [list(dict.fromkeys(code)) for code in codes]
    columns = [np.array([o.index(c) for c in code]) for code, o in zip(codes, order, strict=True)]
    return sorted(map(tuple, np.column_stack([cells.X.toarray(), *columns])))


def test_training_and_monitored_cells_are_the_cells(tmp_path, cells):
    path = store(tmp_path)
    train, monitored = minibatches(path), minibatches(path, "val_dataloader")
    assert sum(len(b["X"]) for b in monitored) == 150
    assert rows(train + monitored) == expected(cells)


def test_cells_are_shuffled(tmp_path, cells):
    first = minibatches(store(tmp_path), monitored_share=0)[0]
    position = {tuple(row): number for number, row in enumerate(cells.X.toarray())}
    found = np.array([position[tuple(row)] for row in first["X"].numpy()])
    assert found.min() < 300
    assert found.max() > 1200


def test_several_data_sets(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(script, "VALUES_PER_DATASET", cells.X.nnz // 3)
    monkeypatch.setattr(script, "ROWS_READ_TOGETHER", 50)
    path = store(tmp_path)
    assert len([key for key in zarr.open_group(path, mode="r") if key.startswith("dataset_")]) > 1
    assert rows(minibatches(path, monitored_share=0)) == expected(cells)


def test_memory_changes_nothing(tmp_path, cells):
    first, again = (
        minibatches(store(tmp_path, budget=Budget(mem_mb)))[0]["X"].numpy() for mem_mb in (1100, 4000)
    )
    assert np.array_equal(first, again)


def test_same_seed_same_store(tmp_path, cells):
    first, again = (minibatches(store(tmp_path))[0]["X"].numpy() for _ in range(2))
    other = minibatches(store(tmp_path, seed=1))[0]["X"].numpy()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_large_store_is_read_in_parts(tmp_path, cells):
    """Parts of 32 minibatches, no cell left out or read twice; the seed alone decides the order."""
    path = store(tmp_path)
    first = minibatches(path, monitored_share=0, batch_size=16)
    assert [len(b["X"]) for b in first] == [16] * 93 + [12]
    assert rows(first) == expected(cells)
    again = minibatches(path, monitored_share=0, batch_size=16)
    assert all(np.array_equal(one["X"], other["X"]) for one, other in zip(first, again, strict=True))
