"""A scvi-tools model that somebody else trained, made one that the workflow's rules can read.

Others register their models with other names of columns, layers and labels. Weights stay as they are; what
the model remembers of these names is replaced by the workflow's own.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scvi.model.base import BaseModelClass

from .cells import UNKNOWN
from .encoder import Encoder
from .errors import InputError
from .files import readable
from .genes import strip_version
from .model import BATCH, LABEL, cells_for_model, known_batches, model_class

CLASSES = ("SCVI", "SCANVI")

NOT_IN_QUERIES = ("size_factor_key", "categorical_covariate_keys", "continuous_covariate_keys")
"""What a model may have been trained with, and no query of the workflow's has."""

ONLY_BATCH = "(the reference)"
"""Batch of the cells of a model that was trained without batches."""

MADE_UP_CELLS = 32
NEW_BATCH = "(a batch that the model does not know)"
MOST_DIFFERENCE = 1e-3
"""Latents of made-up cells may differ by so much between scvi-tools' encoder and the workflow's own."""


def adopt_model(folder: str, adopted: Path) -> pd.Index:
    """Write a model of others into the folder `adopted`, as one of the workflow's.

    Returns
    -------
    Its genes, in its order.

    Raises
    ------
    InputError
        If it is no model of class SCVI or SCANVI, or needs more of a cell than counts and a batch.
    """
    saved = _load(folder)
    attributes = saved["attr_dict"]
    registry = attributes["registry_"]
    name = registry.get("model_name")
    if name not in CLASSES:
        raise InputError(
            f"pretrained.model: {folder} is a model of class {name}; queries can be mapped onto "
            f"{' and '.join(CLASSES)} only"
        )
    arguments = registry["setup_args"]
    more = [f"{key} ({arguments[key]})" for key in NOT_IN_QUERIES if arguments.get(key)]
    if more:
        raise InputError(
            f"pretrained.model: {folder} was trained with {', '.join(more)}, which queries do not have; "
            "train it with a batch key alone"
        )
    if attributes.get("init_params_", {}).get("non_kwargs", {}).get("dispersion") == "gene-label":
        raise InputError(
            f"pretrained.model: {folder} has a dispersion per label, which queries do not have; train it "
            "with dispersion 'gene'"
        )
    genes = pd.Index([strip_version(str(gene)) for gene in saved["var_names"]], dtype=object)
    if genes.has_duplicates:
        twice = genes[genes.duplicated()].unique()[:3]
        raise InputError(
            f"pretrained.model: {folder} has genes that stand twice in it ({', '.join(twice)}); its genes "
            "need names of their own"
        )
    saved["var_names"] = genes.to_numpy()
    _rename_batches(registry)
    _rename_labels(registry, folder)
    registry["setup_args"] = {**registry["setup_args"], "layer": None}
    adopted.mkdir()
    torch.save(saved, adopted / "model.pt")
    return genes


def _load(folder: str) -> dict[str, Any]:
    file = Path(folder, "model.pt")
    if not file.is_file():
        raise InputError(
            f"pretrained.model: {folder} has no file model.pt; name the folder that model.save() wrote (one "
            "of scvi-tools below 0.15 is brought up to date by its convert_legacy_save)"
        )
    wrong = f"pretrained.model: {file} is not what scvi-tools' model.save() writes"
    try:
        with readable(file):
            saved = torch.load(file, map_location="cpu", weights_only=False)
    except (RuntimeError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise InputError(f"{wrong} ({error}); save the model again") from error
    if not isinstance(saved, dict) or not {"model_state_dict", "var_names", "attr_dict"} <= saved.keys():
        raise InputError(f"{wrong}; name the folder of a model")
    registry = saved["attr_dict"].get("registry_", {})
    if "setup_args" not in registry or registry.get("setup_method_name", "setup_anndata") != "setup_anndata":
        raise InputError(
            f"{wrong} after setup_anndata; a model that was set up otherwise cannot be fitted to queries"
        )
    return saved


def _rename_batches(registry: dict) -> None:
    state = registry["field_registries"]["batch"]["state_registry"]
    has_batches = registry["setup_args"].get("batch_key") is not None
    names = [str(batch) for batch in state["categorical_mapping"]] if has_batches else [ONLY_BATCH]
    state["categorical_mapping"] = np.array(names, dtype=object)
    state["original_key"] = BATCH
    registry["setup_args"] = {**registry["setup_args"], "batch_key": BATCH}


def _rename_labels(registry: dict, folder: str) -> None:
    state = registry["field_registries"]["labels"]["state_registry"]
    if registry["model_name"] == "SCVI":
        # Labels that scVI was shown take no part in anything.
        state["categorical_mapping"] = np.array([0])
        registry["setup_args"] = {**registry["setup_args"], "labels_key": None}
        return
    unlabelled = registry["setup_args"]["unlabeled_category"]
    names = [UNKNOWN if label == unlabelled else str(label) for label in state["categorical_mapping"]]
    if names.count(UNKNOWN) > 1:
        raise InputError(
            f"pretrained.model: {folder} has a label '{UNKNOWN}' besides the cells without a label, which it "
            f"calls '{unlabelled}'; give that label another name and train the model again"
        )
    state["categorical_mapping"] = np.array(names, dtype=object)
    state["original_key"], state["unlabeled_category"] = LABEL, UNKNOWN
    renamed = {"labels_key": LABEL, "unlabeled_category": UNKNOWN}
    registry["setup_args"] = {**registry["setup_args"], **renamed}


def load_checked(folder: str, genes: pd.Index, *, seed: int, accelerator: str, named: str) -> BaseModelClass:
    """Load an adopted model, and see that queries can be mapped onto it.

    Made-up cells are mapped by scvi-tools and by the workflow's own encoder, as they are and after the model
    was fitted to a batch that it does not know.

    Parameters
    ----------
    folder, genes
        What `adopt_model` wrote and found.
    seed, accelerator
        Of the made-up cells; where to compute.
    named
        What to call the model in an error.

    Raises
    ------
    InputError
        If scvi-tools cannot load or fit it, or the two encoders do not agree.
    """
    rng = np.random.default_rng(seed)
    counts = sparse.csr_matrix(rng.poisson(0.5, (MADE_UP_CELLS, len(genes))).astype(np.float32))
    batches = rng.choice(known_batches(folder), MADE_UP_CELLS)
    try:
        cells = cells_for_model(counts, genes, batches)
        model = model_class(folder).load(folder, adata=cells, accelerator=accelerator, device=1)
        new = cells_for_model(counts, genes, np.array([NEW_BATCH] * MADE_UP_CELLS))
        fitted = model_class(folder).load_query_data(new, folder, accelerator=accelerator)
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"pretrained.model: {named} cannot be loaded by scvi-tools ({error}); load and save it with the "
            "version in envs/model.yaml"
        ) from error
    # It is; what is new in it is random, and the same for both encoders.
    fitted.is_trained_ = True
    for which, some, of in ((model, cells, batches), (fitted, new, [NEW_BATCH] * MADE_UP_CELLS)):
        if not _encoders_agree(which, some, of):
            raise InputError(
                f"pretrained.model: the encoder of {named} is of a kind that is not supported: log1p of the "
                "counts, then layers with or without the batch, and a normal distribution are; train a model "
                "with scvi-tools' defaults for log_variational, latent_distribution and batch_representation"
            )
    return model


def _encoders_agree(model: BaseModelClass, cells: ad.AnnData, batches: Sequence[str]) -> bool:
    """Whether both encoders say the same of cells of these batches."""
    module = model.module
    first = module.z_encoder.encoder.fc_layers[0][0]
    n_batches = module.n_batch if module.n_batch > 1 else 0
    if not isinstance(first, torch.nn.Linear) or first.in_features not in (
        module.n_input,
        module.n_input + n_batches,
    ):
        return False
    expected = model.get_latent_representation(cells)
    encoder = Encoder(model)
    codes = np.array([encoder.batches.index(batch) for batch in batches], dtype=np.int64)
    return bool(np.max(np.abs(encoder.latents(cells.X, codes) - expected)) < MOST_DIFFERENCE)
