"""Pre-trained models: other names of columns, a layer, scvi-tools' own defaults."""

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scvi
from import_reference import WrittenFiles
from scvi.external import cytovi
from simulate import simulate_cells, simulate_events

LABELS = ("T cell", "B cell", "NK")


def train_foreign(
    folder: Path,
    *,
    kind: str = "SCVI",
    n_cells: int = 400,
    n_genes: int = 60,
    donors: tuple[str, ...] = ("d1", "d2", "d3", "d4"),
    epochs: int = 2,
    minified: bool = False,
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
        Numbers of cells, genes, donors and epochs.
    minified
        True to save its cells beside it as `adata.h5ad`, without counts.
    setup, options
        What else setup_anndata and the model are given.
    """
    scvi.settings.seed = 0
    cells = simulate_cells(n_cells, n_genes=n_genes, labels=LABELS, batches=donors, shift=0.2)
    cells.layers["raw counts"] = cells.X.copy()
    cells.X = cells.X.astype(np.float32).log1p()
    cells.var["ensembl"] = [f"ENSG{number:011}" for number in range(n_genes)]
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
        if minified:
            means, variances = model.get_latent_representation(return_dist=True)
            cells.obsm["X_latent_qzm"], cells.obsm["X_latent_qzv"] = means, variances
            model.minify_adata()
            del model.adata.obsm["X_latent_qzm"], model.adata.obsm["X_latent_qzv"]
        model.save(str(folder / "model"), save_anndata=minified)
        cells.obsm["X_scVI"] = means if minified else model.get_latent_representation()
    cells = ad.AnnData(obs=cells.obs[["annotation", "donor"]].copy(), obsm={"X_scVI": cells.obsm["X_scVI"]})
    cells.write_h5ad(folder / "cells.h5ad")
    return cells


MARKERS = ("CD45", "CD3", "CD4", "CD8a", "CD19", "HLA-DR", "CD56", "CD45RA", "CD14", "CD33", "CD20", "IgM")


def foreign_events(
    n_cells: int = 400,
    *,
    markers: tuple[str, ...] = MARKERS,
    batches: tuple[str, ...] = ("d1", "d2", "d3", "d4"),
    seed: int = 0,
) -> ad.AnnData:
    """Linear intensities of markers alone, dense; `obs` holds `annotation` and `donor`."""
    events = simulate_events(n_cells, panel=markers, labels=LABELS, batches=batches, shift=0.2, seed=seed)
    obs = events.obs.rename(columns={"sample": "donor", "cell_type": "annotation"})
    values = events[:, list(markers)].X.toarray()
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=list(markers)))


def train_foreign_cytovi(
    folder: Path,
    *,
    n_cells: int = 400,
    epochs: int = 2,
    lacking: dict[str, list[str]] | None = None,
    setup: dict | None = None,
    **options,
) -> ad.AnnData:
    """Train a CytoVI model as in its documentation into `folder/model`, with latents in `cells.h5ad`.

    The transformed values that became 0 and 1 are written as `scaling.csv`.

    Parameters
    ----------
    folder
        Where to write.
    n_cells, epochs
        Numbers of events and epochs.
    lacking
        Markers that a donor lacks.
    setup, options
        What else setup_anndata and the model are given.

    Returns
    -------
    The events, with the layers of CytoVI's functions.
    """
    scvi.settings.seed = 0
    events = foreign_events(n_cells)
    events.layers["raw"] = events.X.copy()
    options = {"n_hidden": 16, "n_latent": 4, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cytovi.transform_arcsinh(events, global_scaling_factor=5)
        cytovi.scale(events)
        if lacking:
            for donor, markers in lacking.items():
                rows, columns = events.obs["donor"] == donor, events.var_names.isin(markers)
                events.layers["scaled"][np.ix_(rows, columns)] = np.nan
            cytovi.register_nan_layer(events)
        keys = {"layer": "scaled", "batch_key": "donor", "sample_key": "donor", **(setup or {})}
        cytovi.CYTOVI.setup_anndata(events, **keys)
        model = cytovi.CYTOVI(events, **options)
        model.train(max_epochs=epochs, n_epochs_kl_warmup=1, accelerator="cpu", enable_progress_bar=False)
        events.obsm["X_CytoVI"] = model.get_latent_representation()
        model.save(str(folder / "model"))
    kept = ad.AnnData(obs=events.obs.copy(), obsm={"X_CytoVI": events.obsm["X_CytoVI"]})
    kept.write_h5ad(folder / "cells.h5ad")
    transformed = events.layers["transformed"]
    scaling = pd.DataFrame(
        {"marker": events.var_names, "low": transformed.min(0), "high": transformed.max(0)}
    )
    scaling.to_csv(folder / "scaling.csv", index=False)
    return events


def written_to(folder: Path) -> WrittenFiles:
    """Files that import_reference writes, in one folder."""
    names = ("genes.tsv", "genes.json", "model", "history.csv", "labels.json")
    mapped = {part: str(folder / f"{part}.parquet") for part in ("train", "validation", "test")}
    return WrittenFiles(*(str(folder / name) for name in names), mapped)
