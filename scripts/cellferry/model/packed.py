"""A scvi-tools model as arrays and JSON, in a packed reference: no pickle is written, and none is opened."""

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
"""File of a packed model, beside that of its weights by name: what its class is made with."""


def is_packed_model(folder: str | Path) -> bool:
    """Whether a folder holds a packed model."""
    return Path(folder, ARGUMENTS).is_file()


def pack_model(folder: str | Path, target: Path) -> dict[str, Any]:
    """Write a model that scvi-tools saved as a packed one.

    Parameters
    ----------
    folder, target
        The model's folder, and the one to write into.

    Returns
    -------
    What its class is made with: `class`, `arguments`, `genes`, `batches`, `labels`.

    Raises
    ------
    InputError
        If there is something in it that JSON cannot hold.
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
        what = f"was made with what cannot be packed ({error})"
        raise InputError(Problem(str(folder), what, "make the model with plain values")) from error
    Path(target, ARGUMENTS).write_text(text + "\n", encoding="utf-8")
    # scvi-tools puts the parameters of Pyro's models beside the tensors, which these classes have none of.
    tensors = {name: each for name, each in saved["model_state_dict"].items() if torch.is_tensor(each)}
    np.savez(Path(target, WEIGHTS), **{name: tensor.cpu().numpy() for name, tensor in tensors.items()})
    return content


def unpack_model(folder: str | Path) -> BaseModelClass:
    """The model that `pack_model` wrote, as scvi-tools would load it, on a skeleton of its cells.

    Raises
    ------
    InputError
        If it cannot be made of what is there.
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
            # Which markers were measured says what a training learns from; this model is trained.
            cells, setup = with_mask(cells, np.ones(cells.shape)), {**setup, "nan_layer": MASK}
        kind.setup_anndata(cells, **setup)
        with torch.random.fork_rng(devices=[]):  # weights drawn here are replaced; later draws must not move
            model = kind(cells, **arguments)
        with np.load(Path(folder, WEIGHTS), allow_pickle=False) as weights:
            model.module.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        what = f"no model can be made of its {ARGUMENTS} and {WEIGHTS} ({error})"
        raise InputError(
            Problem(str(folder), what, "take the reference anew from where it was made")
        ) from error
    model.is_trained_ = True
    return model
