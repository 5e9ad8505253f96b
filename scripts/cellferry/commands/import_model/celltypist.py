"""A model of CellTypist, read from its pickle: a regression on genes, and what standardizes these."""

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
"""Names of scikit-learn's classes, of its compiled losses (without its name), and of random generators."""

CLASSIFIERS = ("LogisticRegression", "SGDClassifier")
SCALER = "StandardScaler"
"""Classes of scikit-learn's that CellTypist trains."""

TAKE_ANEW = "take the model anew from where it was made"


@dataclass(frozen=True)
class Regression:
    """A regression on z-scored log1p CP10k.

    Attributes
    ----------
    labels, genes
        What rows and columns of the coefficients stand for; labels are sorted.
    coefficients, intercepts
        Labels × genes, and labels (float64).
    mean, scale
        Of each gene, for its z-score.
    kind
        Class of the classifier, and the version of scikit-learn that trained it.
    description
        What the model says of itself, by name: `date`, `details`, `url`, `source`, `version`.
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
    """Read a model of CellTypist; no class that its pickle names is looked for.

    Parameters
    ----------
    path
        The pickle.
    names
        Which labels stand for none.
    trust
        Whether the user trusts its writer.

    Raises
    ------
    InputError
        If it is something else, would run code, is not trusted, or cannot be used.
    """
    where = f"MODEL={path}"
    named = names_in(path)
    if not is_of_celltypist(path):
        shown = f"it names {first_few(sorted(named), 3)}" if named else "it names no class"
        what = f"is not a model that CellTypist trains with scikit-learn ({shown})"
        raise InputError(Problem(where, what, "name one, or a folder that scvi-tools' model.save() wrote"))
    if code := sorted(name for name in named if not (STANDS_IN.fullmatch(name) or ARRAYS.fullmatch(name))):
        raise InputError(Problem(where, what_it_runs(code), TAKE_ANEW))
    if not trust:
        what = "is a pickle, as CellTypist's models are: such a file can run code of whoever wrote it"
        raise InputError(Problem(where, what, "if you know and trust them, give TRUST=1"))
    try:
        content = attributes_in(path, STANDS_IN)
        return _regression(content, names)
    except ValueError as error:
        raise InputError(Problem(where, f"is not a model of CellTypist's: {error}", TAKE_ANEW)) from error


def _regression(content: Any, names: LabelNames) -> Regression:
    """A model of what is in its pickle; ValueError with what is wrong."""
    if not isinstance(content, dict) or not {"Model", "Scaler_"} <= content.keys():
        raise ValueError("it is no dictionary of Model, Scaler_ and description")
    model, scaler = content["Model"], content["Scaler_"]
    for found, known in ((model, CLASSIFIERS), (scaler, (SCALER,))):
        if type(found).__name__ not in known:
            raise ValueError(f"it holds a {type(found).__name__} in the place of {' or '.join(known)}")
    genes = [strip_version(str(gene)) for gene in _array(model, "features", str)]
    coefficients = _array(model, "coef_", np.float64)
    if coefficients.ndim != 2 or coefficients.shape[1] != len(genes) or not genes:
        raise ValueError(f"its coefficients are {coefficients.shape}, and it has {len(genes)} genes")
    if len(set(genes)) < len(genes):
        repeated = next(gene for place, gene in enumerate(genes) if gene in genes[:place])
        raise ValueError(f"its gene {repeated} stands in it more than once")
    intercepts = np.broadcast_to(_array(model, "intercept_", np.float64), len(coefficients))
    scale = _of_genes(scaler, "scale_", len(genes))
    centred = getattr(scaler, "with_mean", True)
    mean = _of_genes(scaler, "mean_", len(genes)) if centred else np.zeros_like(scale)
    if not (scale > 0).all():
        raise ValueError("its scale_ holds numbers that are not above 0")
    labels = _labels(_array(model, "classes_", None), names)
    if len(labels) == 2 and len(coefficients) == 1:
        # scikit-learn keeps the second label's decision, of which the first one's is the negative.
        coefficients = np.concatenate([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    if len(labels) != len(coefficients) or len(labels) < 2:
        raise ValueError(f"it has {len(labels)} labels, and {len(coefficients)} rows of coefficients")
    if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
        raise ValueError("its coefficients hold what is not a number")
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
    """An attribute as an array; ValueError where it is not one."""
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
    """Names of the classes; ValueError where one stands for no label, or two for the same."""
    spelled = [str(label) for label in as_labels(classes.ravel())]
    labels = [names.name(label) for label in spelled]
    if None in labels:
        without = spelled[labels.index(None)]
        raise ValueError(
            f"its label '{without}' stands for no label here; take it out by CellTypist's "
            f"model.subset(exclude_cell_types=['{without}']) and model.write()"
        )
    if len(set(labels)) < len(labels):
        raise ValueError("two of its labels have one name")
    return labels
