"""subset_reference: every cell goes to its part, in one pass."""

import anndata as ad
import numpy as np
import pandas as pd
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.config.settings import SplitSettings
from cellferry.features.subset import GeneFiles
from cellferry.resources.budget import Budget
from cellferry.sampling.splits import PARTS
from example_artifacts import write_features
from simulate import settings_like, simulate_cells, write_cells
from split_reference import split_reference
from subset_reference import subset_reference

CHOSEN = ["GENE5", "GENE150", "GENE1"]


def test_every_cell_goes_to_its_part(tmp_path, monkeypatch):
    whole = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, max_bytes: whole(self, 5000))
    cells = simulate_cells()
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[:10], labels[20:24] = None, "few"
    cells.obs["cell_type"] = labels
    merged, splits = str(tmp_path / "merged.h5ad"), str(tmp_path / "splits.parquet")
    write_cells(merged, cells, "atlas")
    split_reference(
        [merged],
        [],
        splits,
        str(tmp_path / "labels.json"),
        settings=settings_like(SplitSettings, by="label", test=0.2),
        subsample=None,
        parents={},
        ontology={},
        seed=0,
        budget=Budget(1000),
    )
    pd.DataFrame({"gene": CHOSEN}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    write_features(tmp_path / "genes.json", ("atlas", "index"))
    parts = {part: str(tmp_path / f"{part}.h5ad") for part in PARTS}
    subset_reference(
        {"atlas": merged},
        splits,
        GeneFiles(str(tmp_path / "genes.tsv"), str(tmp_path / "genes.json")),
        parts,
        inspected=[],
        gene_ids={"atlas": "auto"},
        budget=Budget(700),
    )
    split = pd.read_parquet(splits)["split"]
    for part, path in parts.items():
        common, expected = ad.read_h5ad(path), cells[(split == part).to_numpy()]
        assert list(common.obs_names) == list(expected.obs_names)
        assert list(common.obs["label"]) == list(expected.obs["cell_type"])
        np.testing.assert_array_equal(common.X.toarray(), expected[:, CHOSEN].X.toarray())
    assert split.isna().sum() == 10
    assert (split == "rare").sum() == 4


def test_several_references_are_written_one_after_the_other(tmp_path):
    """Cells that bear the same names, genes in another order, other columns: what is common stays."""
    names = ("atlas", "blood")
    cells = dict(zip(names, (simulate_cells(120), simulate_cells(90)[:, ::-1].copy()), strict=True))
    merged = {name: str(tmp_path / f"{name}.h5ad") for name in names}
    more = {
        "atlas": {"age": np.arange(120), "sex": np.full(120, "f", dtype=object), "only": np.zeros(120)},
        "blood": {"age": np.arange(90) + 0.5, "sex": np.ones(90)},
    }
    for name in names:
        with H5adWriter(merged[name], cells[name].var) as writer:
            obs = {
                "batch": np.full(cells[name].n_obs, f"{name}/a", dtype=object),
                "label": cells[name].obs["cell_type"].astype(object).to_numpy(),
            }
            writer.append(cells[name].X.copy(), cells[name].obs_names.to_numpy(object), obs | more[name])
    splits = str(tmp_path / "splits.parquet")
    split_reference(
        list(merged.values()),
        [],
        splits,
        str(tmp_path / "labels.json"),
        settings=settings_like(SplitSettings, by="label", test=0.2),
        subsample=None,
        parents={},
        ontology={},
        seed=0,
        budget=Budget(1000),
    )
    pd.DataFrame({"gene": CHOSEN}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    write_features(tmp_path / "genes.json", *((name, "index") for name in names))
    parts = {part: str(tmp_path / f"{part}.h5ad") for part in ("train", "validation", "test")}
    subset_reference(
        merged,
        splits,
        GeneFiles(str(tmp_path / "genes.tsv"), str(tmp_path / "genes.json")),
        parts,
        inspected=[],
        gene_ids=dict.fromkeys(names, "auto"),
        budget=Budget(700),
    )
    expected = ad.concat({name: cells[name][:, CHOSEN] for name in names}, label="name", index_unique="/")
    expected.obs_names = [f"{name}/{cell}" for name in names for cell in cells[name].obs_names]
    expected.obs["age"] = [*range(120), *(np.arange(90) + 0.5)]
    split = pd.read_parquet(splits)["split"]
    for part, path in parts.items():
        common, some = ad.read_h5ad(path), expected[(split == part).to_numpy()]
        assert list(common.obs_names) == list(some.obs_names)
        assert list(common.obs.columns) == ["batch", "label", "age"]
        assert list(common.obs["age"]) == list(some.obs["age"])
        assert list(common.obs["label"]) == list(some.obs["cell_type"])
        assert [str(batch).split("/")[0] for batch in common.obs["batch"]] == [
            name.split("/")[0] for name in some.obs_names
        ]
        np.testing.assert_array_equal(common.X.toarray(), some.X.toarray())
