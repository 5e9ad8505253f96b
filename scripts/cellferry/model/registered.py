"""Registration of a pre-trained model: names of its cells' columns and latents."""

from typing import Any, NamedTuple

from ..errors import InputError
from .imported import CLASSES, names_of, opened

LATENT_LAYER = "z_encoder.mean_encoder.weight"


class Registered(NamedTuple):
    """Registration of a model's training cells, from its file.

    Attributes
    ----------
    kind, modality
        Its class, and its modality: `rna` or `cytometry`.
    genes, n_latent
        Genes (or markers) in its order, and dimensions of its latent space.
    batch, label
        Columns of obs; None if not registered.
    unlabeled
        Name of unlabeled cells; None if the class has no such name.
    layer
        Layer of the counts; None for X.
    latents
        Element of obsm with the means of cells without counts (minified); None for cells with counts.
    """

    kind: str
    modality: str
    genes: list[str]
    n_latent: int
    batch: str | None
    label: str | None
    unlabeled: str | None
    layer: str | None
    latents: str | None


def registered(folder: str, *, trust: bool) -> Registered:
    """Read it.

    Raises
    ------
    InputError
        If it is not a scvi-tools model, its class is not supported, or its file contains code and is not
        trusted.
    """
    saved = opened(folder, trust=trust)
    registry = saved["attr_dict"]["registry_"]
    kind = registry.get("model_name")
    modality = next((modality for modality, classes in CLASSES.items() if kind in classes), None)
    if modality is None:
        usable = [name for classes in CLASSES.values() for name in classes]
        raise InputError(
            f"pretrained.model: {folder} is a model of class {kind}, and queries can be mapped onto "
            f"{', '.join(usable)} only; name another model"
        )
    try:
        given = registry["setup_args"]
        return Registered(
            kind,
            modality,
            genes=names_of(saved, folder, modality).to_list(),
            n_latent=len(saved["model_state_dict"][LATENT_LAYER]),
            batch=_text(given.get("batch_key")),
            label=_text(given.get("labels_key")),
            unlabeled=_text(given.get("unlabeled_category")),
            layer=_text(given.get("layer")),
            latents=_text(
                registry["field_registries"].get("latent_qzm", {}).get("data_registry", {}).get("attr_key")
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"pretrained.model: {folder} is not a {kind} model as scvi-tools saves it (no {error}); "
            "load and save it with the version in envs/model.yaml"
        ) from error


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
