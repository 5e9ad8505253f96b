"""Origin of two tables of predictions, field by field."""

import json
from statistics import median
from typing import Any

import h5py

from ...artifacts.decision import DecisionModel
from ...artifacts.gene_loss import GeneLoss
from ...artifacts.json_files import read_artifact
from ...core.problems import Problem
from ...errors import InputError
from ...labels.vocabulary import LEAF_LEVEL, MAPPINGS
from ...runs.hashes import MADE_FROM, REFERENCE, of_files
from .answers import Answers

UNRECORDED = "not recorded"

MADE_FROM_PARTS = {
    "model": "model's weights",
    "genes": "model's genes",
    "classifier": "classifiers",
    "decision": "calibration and thresholds",
    "settings": "limits of probability and quality",
}
"""Names of the hashes in the order of the chain, and their objects."""


def identities(answers: Answers) -> dict[str, str]:
    """A table's origin as text by field; `not recorded` for missing fields."""
    reference, made_from = metadata(answers, REFERENCE), metadata(answers, MADE_FROM)
    decision = decision_of(answers, made_from.get("decision"))
    names = answers.schema.names
    heads = [name.removesuffix("_label") for name in names if f"{name[:-6]}_probability" in names]
    heads = [head for head in heads if head not in ("best", *MAPPINGS)]
    found = {
        "query": answers.query,
        "cellferry": version_of(answers),
        "reference": " ".join(str(reference[key]) for key in ("name", "version") if reference.get(key)),
        "hash of the reference": str(reference.get("sha256", "")),
        **{what: str(made_from.get(part, "")) for part, what in MADE_FROM_PARTS.items()},
        "classifiers by name": ", ".join(heads),
        "genes measured": genes_of(answers),
        "mapping": "by the fitted and the unfitted model"
        if f"{MAPPINGS[0]}_label" in names
        else "by one model",
        "thresholds": thresholds_of(decision),
        "expected error": share(metadata(answers, "expected_error").get("of_all")),
    }
    return {field: value or UNRECORDED for field, value in found.items()}


def metadata(answers: Answers, key: str) -> dict[str, Any]:
    """JSON in the metadata of a table; empty if missing.

    Raises
    ------
    InputError
        If it is not a JSON object.
    """
    text = (answers.schema.metadata or {}).get(key.encode(), b"{}")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _not_json(answers, key) from error
    if not isinstance(found, dict):
        raise _not_json(answers, key)
    return found


def _not_json(answers: Answers, key: str) -> InputError:
    what = f"its metadata `{key}` is not a JSON object"
    return InputError(Problem(str(answers.path), what, "copy it again, or run snakemake again in its folder"))


def version_of(answers: Answers) -> str:
    """The version of cellferry that made the labeled file beside the table."""
    try:
        with h5py.File(answers.results / "labeled" / f"{answers.query}.h5ad", locking=False) as file:
            found = file["uns/cellferry/versions/cellferry"][()]
    except (OSError, KeyError):
        return ""
    return found.decode() if isinstance(found, bytes) else str(found)


def decision_of(answers: Answers, recorded: str | None) -> DecisionModel | None:
    """The decision of a table, from files beside it; None without a matching hash."""
    mapped = answers.results / "mapped" / answers.query
    places = (mapped / "raised.json", mapped / "calibration.json")
    for path in (*places, answers.results / "reference" / "calibration.json"):
        if path.is_file() and of_files(path) == recorded:
            try:
                return read_artifact(DecisionModel, path)
            except InputError:  # from another version of the workflow
                return None
    return None


def thresholds_of(decision: DecisionModel | None) -> str:
    """Thresholds in words: raised or not, and the median of the finest labels."""
    if decision is None:
        return ""
    finest = decision.thresholds[LEAF_LEVEL].values()
    how = "raised for the query" if decision.raised else "of held-out cells"
    return f"{how}, median {median(finest):.3f}"


def genes_of(answers: Answers) -> str:
    """Number of the model's genes that the query has, if it may lack some."""
    try:
        found = read_artifact(GeneLoss, answers.results / "mapped" / answers.query / "gene_loss.json")
    except (InputError, OSError):
        return ""
    return f"{found.measured} of {found.genes}"


def share(value: float | None) -> str:
    """A share in percent."""
    return "" if value is None else f"{value:.1%}".replace("%", " %")
