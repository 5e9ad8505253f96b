"""subset_reference: every cell goes to its part, in one pass."""

import json

import anndata as ad
import numpy as np
import pandas as pd
from cellferry.budget import Budget
from cellferry.h5ad import H5adReader
from simulate import simulate_cells, write_cells
from split_reference import split_reference
from subset_reference import subset_reference

CHOSEN = ["GENE5", "GENE150", "GENE1"]


def test_every_cell_goes_to_its_part(tmp_path, monkeypatch):
    whole = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, max_bytes: whole(self, 5000))
    cells = simulate_cells()
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[:10] = None
    cells.obs["cell_type"] = labels
    merged, splits = str(tmp_path / "merged.h5ad"), str(tmp_path / "splits.parquet")
    write_cells(merged, cells, "atlas")
    split_reference(
        merged,
        splits,
        by="label",
        validation=0.1,
        test=0.2,
        min_cells_per_label=10,
        seed=0,
        budget=Budget(1000),
    )
    pd.DataFrame({"gene": CHOSEN}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    report = {"namespace": "symbol", "datasets": {"atlas": {"column": "index"}}}
    (tmp_path / "genes.json").write_text(json.dumps(report))
    parts = {part: str(tmp_path / f"{part}.h5ad") for part in ("train", "validation", "test")}
    subset_reference(
        merged,
        splits,
        str(tmp_path / "genes.tsv"),
        str(tmp_path / "genes.json"),
        None,
        parts,
        name="atlas",
        gene_id="auto",
        budget=Budget(700),
    )
    split = pd.read_parquet(splits)["split"]
    for part, path in parts.items():
        common, expected = ad.read_h5ad(path), cells[(split == part).to_numpy()]
        assert list(common.obs_names) == list(expected.obs_names)
        assert list(common.obs["label"]) == list(expected.obs["cell_type"])
        np.testing.assert_array_equal(common.X.toarray(), expected[:, CHOSEN].X.toarray())
    assert split.isna().sum() == 10
