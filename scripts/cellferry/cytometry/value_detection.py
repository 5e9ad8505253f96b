"""Kinds of intensities: raw, transformed or scaled, of a mass or a fluorescence cytometer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import InputError
from .marker_names import CHANNEL, DETECTOR, KIND, is_named_after_metal
from .value_kind import ValueKind

MAX_SCALED = 1.01
MAX_TRANSFORMED = 20.0
"""arcsinh(x / 5) of 1e9: transformed values are smaller, and raw ones of a whole panel are not."""

MASS_CYTOMETERS = ("cytof", "helios", "dvs", "fluidigm", "starion")
MIN_FLUORESCENCE = -20.0
MAX_MASS = 15_000.0


def detect_values(
    values: np.ndarray,
    var: pd.DataFrame,
    *,
    technology: str,
    transformed: str | bool,
    machine: str = "",
) -> ValueKind:
    """Detect the kind of a dataset's values.

    Parameters
    ----------
    values
        Some cells' markers: cells × markers.
    var
        The channels, see `cellferry.cytometry.channels.channels_of`.
    technology, transformed
        The dataset's keys; `auto` by default.
    machine
        The instrument in the file.
    """
    kind, why_kind = _kind_of(values, transformed)
    if technology == "auto":
        technology, why = _technology_of(values, var, machine, raw=kind == RAW)
    else:
        why = "technology is given"
    return ValueKind(kind, technology, f"{why_kind}; {why}")


def _kind_of(values: np.ndarray, transformed: str | bool) -> tuple[str, str]:
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    between = f"values lie between {least:g} and {most:g}"
    if transformed is False:
        return RAW, f"{between}, and transformed is false"
    if least >= -0.01 and most <= MAX_SCALED:
        return SCALED, f"{between}: they are scaled already"
    if transformed is True:
        return TRANSFORMED, f"{between}, and transformed is true"
    if max(most, -least) <= MAX_TRANSFORMED:
        return TRANSFORMED, f"{between}: they are transformed already"
    return RAW, between


def _technology_of(values: np.ndarray, var: pd.DataFrame, machine: str, *, raw: bool) -> tuple[str, str]:
    named = var[[column for column in (CHANNEL, DETECTOR) if column in var]].to_numpy(dtype=object).ravel()
    if any(word in machine.casefold() for word in MASS_CYTOMETERS):
        return "mass", f"the instrument is {machine}"
    kinds = set(var[KIND])
    if any(is_named_after_metal(str(name)) for name in named):
        return "mass", "channels are named after metals"
    if "scatter" in kinds:
        return "fluorescence", "there are scatter channels"
    if "dna" in kinds:
        return "mass", "there are DNA channels, and no scatter channels"
    if raw and ((values < MIN_FLUORESCENCE).any() or (values > MAX_MASS).any()):
        return "fluorescence", "values are in the range of fluorescence"
    return "mass", "no sign of fluorescence"


def check_kind(name: str, seen: ValueKind, learned_from: dict[str, ValueKind]) -> None:
    """Refuse a scaled dataset for a model of unscaled values, and the reverse.

    Parameters
    ----------
    name, seen
        The dataset's name, and the kind of its values.
    learned_from
        The kinds of the datasets that the transformation was fitted on: `values` in genes.json.

    Raises
    ------
    InputError
        If they differ.
    """
    kinds = {learned.values: learned.why for learned in learned_from.values()}
    if (seen.values == SCALED) == (SCALED in kinds):
        return
    listed = ", ".join(f"{kind} ones ({why})" for kind, why in kinds.items())
    raise InputError(
        f"datasets.{name}: has {seen.values} values ({seen.why}), and the model was trained on {listed}; "
        f"provide both of one kind, or correct datasets.{name}.transformed"
    )


RAW, TRANSFORMED, SCALED = "raw", "transformed", "scaled"
