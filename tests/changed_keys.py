"""Configurations of every kind, and another valid value of every key."""

import copy

DATASETS = {
    "atlas": {"role": "reference", "path": "a.h5ad", "label": "cell_type", "chunks": 2},
    "patients": {"role": "query", "path": "b.h5ad", "chunks": 2},
    "lung": {"role": "evaluate", "path": "c.h5ad", "label": "cell_type", "chunks": 1},
}
QUERIES = {name: dataset for name, dataset in DATASETS.items() if dataset["role"] != "reference"}
RENAMED = {"cd4 t": "CD4 T", "cd8 t": "CD8 T"}
CONFIGS = {
    "rna": {"datasets": DATASETS, "model": {"type": "scanvi"}, "labels": {"rename": RENAMED}},
    "own genes": {"datasets": DATASETS, "genes": {"retrain_on_common": False}},
    "cytometry": {"modality": "cytometry", "datasets": DATASETS},
    "imported": {
        "datasets": QUERIES,
        "pretrained": {"model": "vae", "latents": "latents.csv", "label": "cell_type"},
    },
    "earlier": {"datasets": QUERIES, "pretrained": "earlier/results"},
}
# Another valid value of every key.
DATASET_CHANGES = {
    "path": "d.h5ad",
    "format": "h5ad",
    "label": "finer",
    "levels": ["lineage"],
    "batch": "donor",
    "counts": "X",
    "counts_rounding": "nearest",
    "assay": "RNA",
    "gene_id": "index",
    "obs": "obs.csv",
    "obs_by": "order",
    "obs_min_common": 0.2,
    "prefix": False,
    "cells": {"donor": ["a"]},
    "keep_obs": ["donor"],
    "coordinates": "none",
    "genome": "GRCh38",
    "compensate": True,
    "follow_links": True,
    "orientation": "cells",
    "not_cells": ["Length"],
    "jobs": 2,
    "chunks": 3,
}
SECTION_CHANGES = {
    "labels.rename": {"a": "b"},
    "labels.missing": ["none of these"],
    "labels.parents": {"T cell": "lymphoid"},
    "labels.ontology": {"T cell": "CL:0000084"},
    "labels.is_a": "shipped",
    "genes.n_variable": 100,
    "genes.keep": ["GENE1"],
    "genes.map": "names.tsv",
    "genes.orthologs": "human-mouse",
    "genes.retrain_on_common": False,
    "genes.max_loss": 0.1,
    "genes.min_common": 0.5,
    "genes.sketch_cells": 1000,
    "reference.subsample": 200,
    "split.by": "label",
    "split.validation": 0.2,
    "split.test": 0.2,
    "split.min_cells_per_label": 5,
    "model.type": "scvi",
    "model.n_latent": 10,
    "model.n_layers": 1,
    "model.n_hidden": 64,
    "model.dropout_rate": 0.2,
    "model.gene_likelihood": "zinb",
    "model.epochs": 45,  # as `patience`
    "model.batch_size": 128,
    "model.learning_rate": 0.01,
    "model.early_stopping": False,
    "model.patience": 30,  # as `n_latent`
    "model.scanvi_epochs": 2,  # as `n_layers`
    "surgery.fit": False,
    "surgery.epochs": 5,
    "surgery.sketch_cells": 1000,
    "prediction.max_error": 0.1,
    "prediction.shift": "report",
    "prediction.min_p": 0.01,
    "prediction.min_counts": 5,
    "prediction.min_genes": 5,
    "prediction.heads": ["xgboost"],
    "prediction.max_training_cells": 1000,
    "prediction.neighbors": 10,  # as `max_depth`
    "prediction.n_trees": 15,
    "prediction.max_depth": 5,
    "prediction.learning_rate": 0.1,
    "merge.materialize": True,
    "output.labeled": "obs",
    "seed": 3,
}
CHANGES = {
    "rna": {
        **SECTION_CHANGES,
        **{f"datasets.atlas.{key}": value for key, value in DATASET_CHANGES.items() if key != "coordinates"},
        **{f"datasets.patients.{key}": value for key, value in DATASET_CHANGES.items() if key != "levels"},
        "datasets.patients.role": "evaluate",
        "datasets.lung.max_cells": 10,
    },
    "own genes": {
        "genes.max_loss": 0.1,
        "genes.min_common": 0.5,
        "prediction.max_error": 0.1,
        **{f"datasets.patients.{key}": value for key, value in DATASET_CHANGES.items() if key != "levels"},
        "datasets.lung.max_cells": 10,
    },
    "cytometry": {
        "cytometry.markers": {"CD3": "CD3e"},
        "cytometry.cofactor": 7,
        "datasets.atlas.technology": "mass",
        "datasets.patients.transformed": True,
    },
    "imported": {
        "pretrained.model": "other_vae",
        "pretrained.latents": "other_latents.csv",
        "pretrained.label": "finer",
        "pretrained.batch": "donor",
        "pretrained.key": "z",
        "pretrained.trust": True,
    },
    "imported cytometry": {"pretrained.scaling": "scaling.csv", "pretrained.backbone": ["CD3"]},
    "earlier": {"pretrained": "another/results"},
}
CONFIGS["imported cytometry"] = {**CONFIGS["imported"], "modality": "cytometry"}


def changed(config, changes):
    """A configuration with changed keys."""
    config = copy.deepcopy(config)
    for key, value in changes.items():
        place = config
        *sections, last = key.split(".")
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
        if last in ("obs_by", "obs_min_common"):
            place["obs"] = "obs.csv"
        if value == "evaluate":
            place["label"] = "cell_type"
    return config
