"""Problems of keys and heads that depend on the modality."""

from typing import Any

from ..core.problems import Problem, problems_of
from ..cytometry.marker_names import read_markers
from ..errors import InputError
from .available_heads import unavailable_heads
from .schema import AUTOMATIC

ONLY_FOR = {
    "rna": (
        ("genes", "n_variable"),
        ("genes", "keep"),
        ("genes", "map"),
        ("genes", "orthologs"),
        ("model", "gene_likelihood"),
        ("model", "scanvi_epochs"),
        ("prediction", "min_counts"),
        ("prediction", "min_genes"),
    ),
    "cytometry": (
        ("cytometry", "markers"),
        ("cytometry", "cofactor"),
        ("pretrained", "scaling"),
        ("pretrained", "backbone"),
    ),
}
"""Keys without effect for another modality."""

DATASET_ONLY_FOR = {"rna": ("gene_id", "counts_rounding"), "cytometry": ("technology", "transformed")}


def head_problems(config: dict[str, Any]) -> list[Problem]:
    """Problems of heads that cannot be trained with the model and modality of the configuration."""
    prediction, model = (
        config[name] if isinstance(config.get(name), dict) else {} for name in ("prediction", "model")
    )
    imported = isinstance(config.get("pretrained"), dict)
    cytometry = config.get("modality") == "cytometry"
    unavailable = unavailable_heads(
        scanvi_model=imported or model.get("type") == "scanvi", cytometry=cytometry, expression=not imported
    )
    named = prediction.get("heads")
    if not isinstance(named, list) or not named or not all(head in unavailable for head in named):
        return []
    reasons = ", and ".join(dict.fromkeys(unavailable[head] for head in named))
    return [
        Problem(
            "prediction.heads",
            f"[{', '.join(named)}] leaves no head to predict with: {reasons}",
            "add another head",
        )
    ]


def modality_problems(config: dict[str, Any]) -> list[Problem]:
    """Keys without effect for the modality, unsuitable models, and a wrong table of markers."""
    modality = config.get("modality", "rna")
    if not isinstance(modality, str) or modality not in AUTOMATIC:
        return []  # reported by the schema
    (other,) = AUTOMATIC.keys() - {modality}
    given = [
        f"{section}.{key}"
        for section, key in ONLY_FOR[other]
        if isinstance(config.get(section), dict) and key in config[section]
    ]
    datasets = config.get("datasets")
    given += [
        f"datasets.{name}.{key}"
        for name, dataset in (datasets if isinstance(datasets, dict) else {}).items()
        for key in DATASET_ONLY_FOR[other]
        if isinstance(dataset, dict) and key in dataset
    ]
    problems = [
        Problem(
            key,
            f"has no effect for modality {modality}",
            f"remove the key, or set modality: {other}",
        )
        for key in given
    ]
    model = config.get("model")
    kind = model.get("type", "auto") if isinstance(model, dict) else "auto"
    if (kind == "cytovi") != (modality == "cytometry") and kind in ("cytovi", "scvi", "scanvi"):
        what = f"{kind} cannot be trained on datasets of modality {modality}"
        problems.append(Problem("model.type", what, f"remove the key, or set modality: {other}"))
    markers = config["cytometry"].get("markers") if isinstance(config.get("cytometry"), dict) else None
    if isinstance(markers, dict | str):
        try:
            read_markers(markers)
        except InputError as error:
            problems += problems_of(error, where="cytometry.markers")
    return problems
