"""A CellTypist model, read from its pickle: a regression on genes, and a scaler."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.pickles import ARRAYS, attributes_in, names_in, what_it_runs
from ...core.problems import Problem
from ...core.text import first_few
from ...errors import InputError
from ...features.gene_ids import strip_version
from ...labels.names import LabelNames, as_labels
from .folders import is_of_celltypist

STANDS_IN = re.compile(r"(sklearn|_loss|numpy\.random)\..+")
"""Classes of scikit-learn, its compiled losses (without its name), and random generators."""

CLASSIFIERS = ("LogisticRegression", "SGDClassifier")
SCALER = "StandardScaler"
"""Scikit-learn classes that CellTypist trains."""

TAKE_ANEW = "get the model again from its source"


@dataclass(frozen=True)
class Regression:
    """A regression on z-scored log1p CP10k.

    Attributes
    ----------
    labels, genes
        Names of the coefficients' rows and columns; labels are sorted.
    coefficients, intercepts
        Labels × genes, and labels (float64).
    mean, scale
        Mean and scale of each gene, for its z-score.
    kind
        Class of the classifier, and the version of scikit-learn that trained it.
    description
        The model's description by name: `date`, `details`, `url`, `source`, `version`.
    """

    labels: list[str]
    genes: list[str]
    coefficients: np.ndarray
    intercepts: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    kind: str
    description: dict[str, str]


def read_celltypist(path: Path, names: LabelNames, *, trust: bool) -> Regression:
    """Read a CellTypist model without importing any class of its pickle.

    Parameters
    ----------
    path
        The pickle.
    names
        Names of missing labels.
    trust
        True if the user set TRUST=1.

    Raises
    ------
    InputError
        If it is not a CellTypist model, would run code, is not trusted, or cannot be used.
    """
    where = f"MODEL={path}"
    named = names_in(path)
    if not is_of_celltypist(path):
        shown = f"it names {first_few(sorted(named), 3)}" if named else "it names no class"
        what = f"is not a CellTypist model trained with scikit-learn ({shown})"
        raise InputError(Problem(where, what, "name one, or a folder written by scvi-tools' model.save()"))
    if code := sorted(name for name in named if not (STANDS_IN.fullmatch(name) or ARRAYS.fullmatch(name))):
        raise InputError(Problem(where, what_it_runs(code), TAKE_ANEW))
    if not trust:
        what = "is a pickle, like all CellTypist models: such a file can run code"
        raise InputError(Problem(where, what, "give TRUST=1 if you trust its source"))
    try:
        content = attributes_in(path, STANDS_IN)
        return _regression(content, names)
    except ValueError as error:
        raise InputError(Problem(where, f"is not a CellTypist model: {error}", TAKE_ANEW)) from error


def _regression(content: Any, names: LabelNames) -> Regression:
    """Build a model from the content of its pickle; ValueError with the problem."""
    if not isinstance(content, dict) or not {"Model", "Scaler_"} <= content.keys():
        raise ValueError("it is not a dictionary of Model, Scaler_ and description")
    model, scaler = content["Model"], content["Scaler_"]
    for found, known in ((model, CLASSIFIERS), (scaler, (SCALER,))):
        if type(found).__name__ not in known:
            raise ValueError(f"it contains a {type(found).__name__} instead of {' or '.join(known)}")
    genes = [strip_version(str(gene)) for gene in _array(model, "features", str)]
    coefficients = _array(model, "coef_", np.float64)
    if coefficients.ndim != 2 or coefficients.shape[1] != len(genes) or not genes:
        raise ValueError(
            f"its coefficients have the shape {coefficients.shape}, but it has {len(genes)} genes"
        )
    if len(set(genes)) < len(genes):
        repeated = next(gene for place, gene in enumerate(genes) if gene in genes[:place])
        raise ValueError(f"duplicate gene {repeated}")
    intercepts = np.broadcast_to(_array(model, "intercept_", np.float64), len(coefficients))
    scale = _of_genes(scaler, "scale_", len(genes))
    centered = getattr(scaler, "with_mean", True)
    mean = _of_genes(scaler, "mean_", len(genes)) if centered else np.zeros_like(scale)
    if not (scale > 0).all():
        raise ValueError("its scale_ contains numbers that are not above 0")
    labels = _labels(_array(model, "classes_", None), names)
    if len(labels) == 2 and len(coefficients) == 1:
        # scikit-learn stores the second label's decision; the first one's is its negative.
        coefficients = np.concatenate([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    if len(labels) != len(coefficients) or len(labels) < 2:
        raise ValueError(f"it has {len(labels)} labels, but {len(coefficients)} rows of coefficients")
    if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
        raise ValueError("its coefficients contain missing or infinite values")
    order = sorted(range(len(labels)), key=labels.__getitem__)
    description = content.get("description")
    return Regression(
        labels=[labels[place] for place in order],
        genes=genes,
        coefficients=coefficients[order],
        intercepts=intercepts[order],
        mean=mean,
        scale=scale,
        kind=f"{type(model).__name__} of scikit-learn {getattr(model, '_sklearn_version', 'unknown')}",
        description={
            str(name): " ".join(value.split())
            for name, value in (description if isinstance(description, dict) else {}).items()
            if isinstance(value, str)
        },
    )


def _array(held: Any, name: str, dtype: Any) -> np.ndarray:
    """An attribute as an array; ValueError if it is missing or unsuitable."""
    value = getattr(held, name, None)
    if value is None:
        raise ValueError(f"it has no {name}")
    try:
        return np.asarray(value, dtype=dtype)
    except TypeError as error:
        raise ValueError(f"its {name} is a {type(value).__name__}") from error


def _of_genes(scaler: Any, name: str, n_genes: int) -> np.ndarray:
    values = _array(scaler, name, np.float64)
    if values.shape != (n_genes,) or not np.isfinite(values).all():
        raise ValueError(f"its {name} is not one number for each of {n_genes} genes")
    return values


def _labels(classes: np.ndarray, names: LabelNames) -> list[str]:
    """Names of the classes; ValueError for a missing label or duplicates."""
    spelled = [str(label) for label in as_labels(classes.ravel())]
    labels = [names.name(label) for label in spelled]
    if None in labels:
        without = spelled[labels.index(None)]
        raise ValueError(
            f"its label '{without}' means a missing label here; remove it with CellTypist's "
            f"model.subset(exclude_cell_types=['{without}']) and model.write()"
        )
    if len(set(labels)) < len(labels):
        raise ValueError("it has duplicate labels")
    return labels
