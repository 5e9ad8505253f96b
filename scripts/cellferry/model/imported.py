"""Import of a pre-trained scvi-tools model, for the workflow's rules.

Pre-trained models are registered with other names of columns, layers and labels. Weights stay unchanged;
these names are replaced by the workflow's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scvi.external import CYTOVI
from scvi.model.base import BaseModelClass

from ..core.pickles import TRUST, code_in, what_it_runs
from ..cytometry.marker_names import listed, marker_key
from ..cytometry.transformation import all_stored
from ..errors import InputError
from ..features.gene_ids import strip_version
from ..labels.vocabulary import UNKNOWN
from .plain_arrays import encoder_of
from .saved import MODEL_FILE, as_data, saved_model
from .scvi_models import BATCH, LABEL, MASK, cells_for_model, known_batches, load_for_query, load_model

CLASSES = {"rna": ("SCVI", "SCANVI"), "cytometry": ("CYTOVI",)}
"""Classes of models that queries can be mapped onto, by modality."""

LIMITS = {"normal": (-10.0, 10.0), "beta": (1e-6, 1 - 1e-6)}
"""Limits of scaled values by CytoVI's likelihood: beta excludes 0 and 1, others allow z-scores."""

FIRST_LAYER = "z_encoder.encoder.fc_layers.Layer 0.0.weight"

NOT_IN_QUERIES = ("size_factor_key", "categorical_covariate_keys", "continuous_covariate_keys")
"""Registered fields of a model that the workflow's queries do not have."""

ONLY_BATCH = "(the reference)"
"""Batch of all cells for a model trained without batches."""

MADE_UP_CELLS = 32
NEW_BATCH = "(a batch that the model lacks)"
MAX_DIFFERENCE = 1e-3
"""Tolerance between latents of simulated cells from scvi-tools' encoder and the workflow's."""


class ImportedModel(NamedTuple):
    """Inputs of a pre-trained model.

    Attributes
    ----------
    genes
        Its genes or markers, in its order.
    backbone
        CytoVI: mask of the markers that its encoder takes.
    limits
        CytoVI: limits of scaled values.
    """

    genes: pd.Index
    backbone: np.ndarray | None = None
    limits: tuple[float, float] | None = None


def import_model(
    folder: str,
    adopted: Path,
    *,
    modality: str = "rna",
    backbone: list[str] | None = None,
    trust: bool = False,
) -> ImportedModel:
    """Write a pre-trained model into the folder `adopted`, with the workflow's names.

    Parameters
    ----------
    folder, adopted
        The model's folder, and the folder to write.
    modality
        Modality of the datasets: `rna` or `cytometry`.
    backbone
        CytoVI: the markers that its encoder takes, for a model that does not list them.
    trust
        Whether code in its file may be run, if there is any.

    Raises
    ------
    InputError
        If its file contains code and is not trusted, its class does not fit the modality, or it needs more
        than counts (or intensities) and a batch.
    """
    saved = opened(folder, trust=trust)
    try:
        imported = _renamed(saved, folder, modality, backbone)
    except (KeyError, TypeError, AttributeError) as error:
        name = saved["attr_dict"]["registry_"].get("model_name")
        raise InputError(
            f"pretrained.model: {folder} is not a {name} model as scvi-tools saves it (no {error}); "
            "load and save it with the version in envs/model.yaml"
        ) from error
    adopted.mkdir()
    torch.save(saved, adopted / MODEL_FILE)
    return imported


def _renamed(saved: dict[str, Any], folder: str, modality: str, backbone: list[str] | None) -> ImportedModel:
    """Set the workflow's names in a saved model, in place."""
    attributes = saved["attr_dict"]
    registry = attributes["registry_"]
    _check_class(registry.get("model_name"), folder, modality)
    arguments = registry["setup_args"]
    more = [f"{key} ({arguments[key]})" for key in NOT_IN_QUERIES if arguments.get(key)]
    if more:
        raise InputError(
            f"pretrained.model: {folder} was trained with {', '.join(more)}, which queries do not have; "
            "train it with a batch key only"
        )
    if attributes.get("init_params_", {}).get("non_kwargs", {}).get("dispersion") == "gene-label":
        raise InputError(
            f"pretrained.model: {folder} has a dispersion per label, which queries do not have; train it "
            "with dispersion 'gene'"
        )
    genes = names_of(saved, folder, modality)
    saved["var_names"] = genes.to_numpy()
    _rename_batches(registry)
    _rename_labels(registry, folder)
    registry["setup_args"] = {**registry["setup_args"], "layer": None}
    if modality == "cytometry":
        return _import_cytovi(saved, genes, backbone, folder)
    return ImportedModel(genes)


def _check_class(name: str | None, folder: str, modality: str) -> None:
    if name in CLASSES[modality]:
        return
    wrong = (
        f"pretrained.model: {folder} is a model of class {name}, and with modality {modality} queries "
        f"can be mapped onto {' and '.join(CLASSES[modality])} only; name another model"
    )
    fitting = [other for other, classes in CLASSES.items() if name in classes]
    raise InputError(wrong + "".join(f", or set modality: {other}" for other in fitting))


def names_of(saved: dict[str, Any], folder: str, modality: str) -> pd.Index:
    """Names of the model's genes or markers, in its order.

    Raises
    ------
    InputError
        If one is a duplicate.
    """
    names = [str(name) for name in saved["var_names"]]
    genes = pd.Index(names if modality == "cytometry" else map(strip_version, names), dtype=object)
    twice = genes.duplicated()
    if modality == "cytometry":
        twice = pd.Index(map(marker_key, genes)).duplicated()
    if twice.any():
        raise InputError(
            f"pretrained.model: {folder} has {'markers' if modality == 'cytometry' else 'genes'} with "
            f"duplicate names ({', '.join(genes[twice].unique()[:3])}); give each its own name"
        )
    return genes


def _import_cytovi(
    saved: dict[str, Any], markers: pd.Index, backbone: list[str] | None, folder: str
) -> ImportedModel:
    """Add the mask of measured values to a model of class CYTOVI, as in the workflow's models.

    With a mask of ones its results are unchanged.
    """
    registry, parameters = (saved["attr_dict"][key] for key in ("registry_", "init_params_"))
    arguments = parameters["non_kwargs"]
    seen = _seen_markers(saved, markers, backbone, folder)
    # Named, since the model would use the query's otherwise.
    arguments |= {"encode_backbone_only": None, "encoder_marker_list": markers[seen].tolist()}
    if arguments["prior_mixture"]:
        # A model trained with labels has a component of its prior for each. Queries have no labels.
        arguments["prior_mixture_k"] = len(saved["model_state_dict"]["prior_means"])
    if "sample_id" in registry["field_registries"]:
        registry["field_registries"]["sample_id"]["state_registry"]["categorical_mapping"] = np.array([0])
    registry["setup_args"] = {**registry["setup_args"], "sample_key": None, "nan_layer": MASK}
    return ImportedModel(markers, seen, LIMITS[arguments["protein_likelihood"]])


def _seen_markers(
    saved: dict[str, Any], markers: pd.Index, backbone: list[str] | None, folder: str
) -> np.ndarray:
    """Mask of the markers that the encoder takes.

    If CytoVI detected the markers common to all batches, the file has only their number.
    """
    n_seen, is_seen = _inputs_of(saved, markers)
    if is_seen is not None:
        if backbone is not None:
            raise InputError(
                f"pretrained.backbone: the model {folder} lists its encoder's markers "
                f"({listed(markers[is_seen])}); remove the key"
            )
        return is_seen
    sees = f"the encoder of {folder} takes {n_seen} of its {len(markers)} markers ({listed(markers)})"
    if backbone is None:
        raise InputError(
            f"pretrained.backbone: {sees}, and the file does not list them; name the markers "
            "of all its batches"
        )
    keys = {marker_key(marker): marker for marker in backbone}
    named = np.array([keys.pop(marker_key(marker), None) is not None for marker in markers])
    if keys or named.sum() != n_seen:
        wrong = f"{listed(keys.values())}, which it does not have" if keys else f"{named.sum()} of them"
        raise InputError(f"pretrained.backbone: names {wrong}: {sees}; name the markers of all its batches")
    return named


def _inputs_of(saved: dict[str, Any], markers: pd.Index) -> tuple[int, np.ndarray | None]:
    """Number of markers that the encoder takes, and their mask if the file has it."""
    registry, parameters = (saved["attr_dict"][key] for key in ("registry_", "init_params_"))
    arguments, more = parameters["non_kwargs"], parameters["kwargs"].get("model_kwargs", {})
    n_batches = len(registry["field_registries"]["batch"]["state_registry"]["categorical_mapping"])
    n_seen = saved["model_state_dict"][FIRST_LAYER].shape[1]
    if more.get("encode_covariates") and n_batches > 1:
        n_seen -= n_batches
    if n_seen == len(markers):
        return n_seen, np.ones(len(markers), dtype=bool)
    if arguments["encoder_marker_list"] is None or arguments["encode_backbone_only"]:
        return n_seen, None
    return n_seen, markers.isin([str(marker) for marker in arguments["encoder_marker_list"]])


def opened(folder: str, *, trust: bool) -> dict[str, Any]:
    """The saved model as data only, without the losses of its training.

    Raises
    ------
    InputError
        If it is not a scvi-tools model, or its file contains code and is not trusted.
    """
    file = Path(folder, MODEL_FILE)
    if not file.is_file():
        raise InputError(
            f"pretrained.model: {folder} has no file model.pt; name the folder that model.save() wrote (one "
            "of scvi-tools below 0.15 is brought up to date by its convert_legacy_save)"
        )
    wrong = f"pretrained.model: {file} is not a file of scvi-tools' model.save()"
    if not trust and (named := code_in(file)):
        raise InputError(f"pretrained.model: {file} {what_it_runs(named)}; {TRUST}")
    saved = saved_model(folder, trusted=trust)
    if not isinstance(saved, dict) or not {"model_state_dict", "var_names", "attr_dict"} <= saved.keys():
        raise InputError(f"{wrong}; name the folder of a model")
    if isinstance(saved["attr_dict"], dict):
        saved["attr_dict"]["history_"] = {}
    try:
        saved = as_data(saved)
    except TypeError as error:
        raise InputError(
            f"pretrained.model: {file} contains a {error}, which is not data; remove it from the model and "
            "save it again"
        ) from error
    attributes = saved["attr_dict"]
    registry = attributes.get("registry_", {}) if isinstance(attributes, dict) else {}
    if (
        not isinstance(registry, dict)
        or "setup_args" not in registry
        or registry.get("setup_method_name", "setup_anndata") != "setup_anndata"
    ):
        raise InputError(f"{wrong} after setup_anndata; other models cannot be fitted to queries")
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
    if registry["model_name"] != "SCANVI":
        # scVI does not use its labels; CytoVI uses them in its prior.
        state["categorical_mapping"] = np.array([0])
        registry["setup_args"] = {**registry["setup_args"], "labels_key": None}
        return
    unlabeled = registry["setup_args"]["unlabeled_category"]
    names = [UNKNOWN if label == unlabeled else str(label) for label in state["categorical_mapping"]]
    if names.count(UNKNOWN) > 1:
        raise InputError(
            f"pretrained.model: {folder} has a label '{UNKNOWN}' besides unlabeled cells, which are "
            f"'{unlabeled}'; rename that label and train the model again"
        )
    state["categorical_mapping"] = np.array(names, dtype=object)
    state["original_key"], state["unlabeled_category"] = LABEL, UNKNOWN
    renamed = {"labels_key": LABEL, "unlabeled_category": UNKNOWN}
    registry["setup_args"] = {**registry["setup_args"], **renamed}


def load_checked(
    folder: str, adopted: ImportedModel, *, seed: int, accelerator: str, named: str
) -> BaseModelClass:
    """Load an adopted model, and check that queries can be mapped onto it.

    Simulated cells are mapped by scvi-tools and by the workflow's encoder, before and after surgery on a new
    batch.

    Parameters
    ----------
    folder, adopted
        Folder and result of `import_model`.
    seed, accelerator
        Seed of the simulated cells; device.
    named
        Name of the model in errors.

    Raises
    ------
    InputError
        If scvi-tools cannot load or fit it, or the two encoders do not agree.
    """
    rng = np.random.default_rng(seed)
    genes, shape = adopted.genes, (MADE_UP_CELLS, len(adopted.genes))
    if adopted.limits is None:
        values, measured = sparse.csr_matrix(rng.poisson(0.5, shape).astype(np.float32)), None
    else:
        values, measured = all_stored(rng.uniform(*adopted.limits, shape).astype(np.float32)), np.ones(shape)
    batches = rng.choice(known_batches(folder), MADE_UP_CELLS)
    new_batches = np.array([NEW_BATCH] * MADE_UP_CELLS)
    try:
        cells, new = (cells_for_model(values, genes, some, measured) for some in (batches, new_batches))
        model = load_model(folder, cells, accelerator=accelerator)
        fitted = load_for_query(folder, new, accelerator=accelerator)
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"pretrained.model: {named} cannot be loaded by scvi-tools ({error}); load and save it with the "
            "version in envs/model.yaml"
        ) from error
    # It is trained; new weights are random, and the same for both encoders.
    fitted.is_trained_ = True
    for which, some, of in ((model, cells, batches), (fitted, new, new_batches)):
        if not _encoders_agree(which, some, values, of):
            raise InputError(
                f"pretrained.model: the encoder of {named} is of a kind that is not supported: "
                f"{'values as they are' if measured is not None else 'counts or their log1p'}, then layers "
                "with or without the batch, and a normal distribution are; train a model with scvi-tools' "
                "defaults for log_variational, latent_distribution and batch_representation"
            )
    return model


def _encoders_agree(
    model: BaseModelClass, cells: ad.AnnData, values: sparse.csr_matrix, batches: Sequence[str]
) -> bool:
    """True if both encoders agree on cells of these batches."""
    if isinstance(model, CYTOVI) and model.module.log_variational:
        return False  # it refuses values below 0
    try:
        encoder = encoder_of(model)
    except ValueError as error:
        print(error)
        return False
    expected = model.get_latent_representation(cells)
    codes = np.array([encoder.batches.index(batch) for batch in batches], dtype=np.int64)
    (latents,) = encoder.latents(values, codes)
    return bool(np.max(np.abs(latents - expected)) < MAX_DIFFERENCE)
