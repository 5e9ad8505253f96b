"""A scvi-tools model in a packed reference, as arrays and JSON without pickles."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scvi.model.base import BaseModelClass

from ..core.problems import Problem
from ..errors import InputError
from ..labels.vocabulary import UNKNOWN
from ..mapping.encoder import WEIGHTS
from .saved import as_data, saved_model
from .scvi_models import BATCH, CLASSES, LABEL, MASK, skeleton, with_mask

ARGUMENTS = "model.json"
"""File of a packed model with the arguments of its class, beside the file of its weights."""


def is_packed_model(folder: str | Path) -> bool:
    """Whether a folder holds a packed model."""
    return Path(folder, ARGUMENTS).is_file()


def pack_model(folder: str | Path, target: Path) -> dict[str, Any]:
    """Convert a model that scvi-tools saved to a packed one.

    Parameters
    ----------
    folder, target
        The model's folder, and the folder to write into.

    Returns
    -------
    Arguments of its class: `class`, `arguments`, `genes`, `batches`, `labels`.

    Raises
    ------
    InputError
        If it has a value without a JSON form.
    """
    saved = saved_model(folder)
    attributes = saved["attr_dict"]
    registry, made_with = attributes["registry_"], attributes["init_params_"]
    fields = registry["field_registries"]
    more = {name: value for each in made_with["kwargs"].values() for name, value in each.items()}
    content = {
        "class": registry["model_name"],
        "arguments": as_data({**made_with["non_kwargs"], **more}),
        "genes": [str(gene) for gene in saved["var_names"]],
        "batches": [str(batch) for batch in fields["batch"]["state_registry"]["categorical_mapping"]],
        "labels": [str(label) for label in fields["labels"]["state_registry"]["categorical_mapping"]],
    }
    try:
        text = json.dumps(content, indent=1, ensure_ascii=False)
    except TypeError as error:
        what = f"was made with a value that cannot be packed ({error})"
        raise InputError(Problem(str(folder), what, "make the model with plain values")) from error
    Path(target, ARGUMENTS).write_text(text + "\n", encoding="utf-8")
    # scvi-tools saves parameters of Pyro models beside the tensors; these classes have no such parameters.
    tensors = {name: each for name, each in saved["model_state_dict"].items() if torch.is_tensor(each)}
    np.savez(Path(target, WEIGHTS), **{name: tensor.cpu().numpy() for name, tensor in tensors.items()})
    return content


def unpack_model(folder: str | Path) -> BaseModelClass:
    """The model of `pack_model`, as scvi-tools would load it, on a skeleton of its cells.

    Raises
    ------
    InputError
        If its files are damaged.
    """
    try:
        content = json.loads(Path(folder, ARGUMENTS).read_text(encoding="utf-8"))
        kind, arguments = CLASSES[content["class"]], content["arguments"]
        setup: dict[str, Any] = {"batch_key": BATCH}
        labels = [UNKNOWN]
        if content["class"] == "SCANVI":
            labels = content["labels"]
            setup |= {"labels_key": LABEL, "unlabeled_category": UNKNOWN}
        cells = skeleton(content["genes"], content["batches"], labels)
        if content["class"] == "CYTOVI":
            # The mask of measured markers matters in training only.
            cells, setup = with_mask(cells, np.ones(cells.shape)), {**setup, "nan_layer": MASK}
        kind.setup_anndata(cells, **setup)
        with torch.random.fork_rng(devices=[]):  # weights drawn here are replaced; later draws must not move
            model = kind(cells, **arguments)
        with np.load(Path(folder, WEIGHTS), allow_pickle=False) as weights:
            model.module.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        what = f"its {ARGUMENTS} and {WEIGHTS} do not make a model ({error})"
        raise InputError(Problem(str(folder), what, "copy the reference again from its source")) from error
    model.is_trained_ = True
    return model
