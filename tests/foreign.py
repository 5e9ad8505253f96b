"""A model that somebody else trained: other names of columns, a layer, scvi-tools' own defaults."""

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scvi
from simulate import simulate_cells

LABELS = ("T cell", "B cell", "NK")


def train_foreign(
    folder: Path,
    *,
    kind: str = "SCVI",
    n_cells: int = 400,
    n_genes: int = 60,
    donors: tuple[str, ...] = ("d1", "d2", "d3", "d4"),
    epochs: int = 2,
    setup: dict | None = None,
    **options,
) -> ad.AnnData:
    """Train it on simulated cells into `folder/model`; write these with latents as `folder/cells.h5ad`.

    Parameters
    ----------
    folder
        Where to write.
    kind
        `SCVI` or `SCANVI`.
    n_cells, n_genes, donors, epochs
        Size of the cells, and how long to train.
    setup, options
        What else setup_anndata and the model are given.
    """
    scvi.settings.seed = 0
    cells = simulate_cells(n_cells, n_genes=n_genes, labels=LABELS, batches=donors, shift=0.2)
    cells.layers["raw counts"] = cells.X.copy()
    cells.X = cells.X.astype(np.float32).log1p()
    cells.obs = cells.obs.rename(columns={"sample": "donor", "cell_type": "annotation"})
    setup = {"layer": "raw counts", "batch_key": "donor", "labels_key": "annotation", **(setup or {})}
    options = {"n_hidden": 16, "n_latent": 4, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scvi.model.SCVI.setup_anndata(cells, **setup)
        model = scvi.model.SCVI(cells, **options)
        how = {"accelerator": "cpu", "enable_progress_bar": False}
        model.train(max_epochs=epochs, **how)
        if kind == "SCANVI":
            model = scvi.model.SCANVI.from_scvi_model(model, "Unassigned", labels_key="annotation")
            model.train(max_epochs=1, **how)
        cells.obsm["X_scVI"] = model.get_latent_representation()
        model.save(str(folder / "model"))
    cells = ad.AnnData(obs=cells.obs[["annotation", "donor"]].copy(), obsm={"X_scVI": cells.obsm["X_scVI"]})
    cells.write_h5ad(folder / "cells.h5ad")
    return cells
