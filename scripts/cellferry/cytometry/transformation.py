"""Intensities of cytometry: what they are like in a file, and how they become what the model learns from.

CytoVI's documentation asks for arcsinh of the values over a cofactor, and for scaling to 0..1. Both are the
reference's here: a query is transformed with what was learned on the reference, so that a model can be used
again. The range is not from the least to the greatest value, as in scikit-learn's MinMaxScaler, but between
quantiles: among millions of events there is always one that would squeeze all others together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from .channels import CHANNEL, DETECTOR, KIND, MARKER, TRANSFORMATION, is_named_after_metal, marker_key

COFACTORS = {"mass": 5.0, "fluorescence": 150.0}
"""What the field divides by before arcsinh."""

RANGE = (0.001, 0.999)
"""Quantiles of the reference's values that become 0 and 1."""

LIMITS = (-1.0, 2.0)
"""Scaled values are cut off here: farther out are artefacts, which would outweigh all other events."""

LEAST_RANGE = 1e-6
"""A marker of less has one value, and is only moved, as scikit-learn's scaler has it."""

RAW, TRANSFORMED, SCALED = "raw", "transformed", "scaled"
MOST_SCALED = 1.01
MOST_TRANSFORMED = 20.0
"""arcsinh(x / 5) of 1e9: transformed values are smaller, and raw ones of a whole panel are not."""

MASS_CYTOMETERS = ("cytof", "helios", "dvs", "fluidigm", "starion")
LEAST_FLUORESCENCE = -20.0
MOST_MASS = 15_000.0


class Look(NamedTuple):
    """What a first look at a dataset's markers shows.

    Attributes
    ----------
    values
        `raw`, `transformed` (no arcsinh is needed) or `scaled` (to 0..1, besides).
    technology
        `mass` or `fluorescence`.
    why
        How these are known, for people.
    """

    values: str
    technology: str
    why: str


def look(
    values: np.ndarray,
    var: pd.DataFrame,
    *,
    technology: str,
    transformed: str | bool,
    machine: str = "",
) -> Look:
    """Tell what kind of values a dataset holds.

    Parameters
    ----------
    values
        Some cells' markers: cells × markers.
    var
        The channels, see `cellferry.cytometry.channels.channels_of`.
    technology, transformed
        As the dataset's keys; `auto` where the user says nothing.
    machine
        What the file says of the instrument.
    """
    kind, why_kind = _kind_of(values, transformed)
    if technology == "auto":
        technology, why = _technology_of(values, var, machine, raw=kind == RAW)
    else:
        why = "technology is given"
    return Look(kind, technology, f"{why_kind}; {why}")


def _kind_of(values: np.ndarray, transformed: str | bool) -> tuple[str, str]:
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    between = f"values lie between {least:g} and {most:g}"
    if transformed is False:
        return RAW, f"{between}, and transformed is false"
    if least >= -0.01 and most <= MOST_SCALED:
        return SCALED, f"{between}: they are scaled already"
    if transformed is True:
        return TRANSFORMED, f"{between}, and transformed is true"
    if max(most, -least) <= MOST_TRANSFORMED:
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
        return "mass", "there are DNA channels, and none of scatter"
    if raw and ((values < LEAST_FLUORESCENCE).any() or (values > MOST_MASS).any()):
        return "fluorescence", "values are as large, or as far below 0, as of fluorescence"
    return "mass", "nothing speaks for fluorescence"


@dataclass(frozen=True)
class Transformation:
    """Arcsinh and scaling, marker by marker.

    Attributes
    ----------
    markers
        Names of the model's markers.
    cofactors
        By technology, one per marker.
    low, high
        Transformed values that become 0 and 1.
    limits
        Where scaled values are cut off.
    """

    markers: list[str]
    cofactors: dict[str, np.ndarray]
    low: np.ndarray
    high: np.ndarray
    limits: tuple[float, float] = LIMITS

    def of(self, seen: Look, measured: np.ndarray) -> Callable[[sparse.csr_matrix], sparse.csr_matrix]:
        """What makes a dataset's values the model's.

        Parameters
        ----------
        seen
            What the dataset holds.
        measured
            Which of the markers it has; the others are 0, or what is nearest to it within the limits.

        Returns
        -------
        Function of cells × markers (CSR); gives the same with all values stored, float32.
        """
        cofactors = self.cofactors[seen.technology].astype(np.float32) if seen.values == RAW else None
        low = self.low.astype(np.float32)
        span = np.where(self.high - self.low < LEAST_RANGE, 1, self.high - self.low).astype(np.float32)
        missing = np.clip(0.0, *self.limits)

        def transform(values: sparse.csr_matrix) -> sparse.csr_matrix:
            dense = values.toarray().astype(np.float32, copy=False)
            if cofactors is not None:
                dense /= cofactors
                np.arcsinh(dense, out=dense)
            dense -= low
            dense /= span
            np.clip(dense, *self.limits, out=dense)
            dense[:, ~measured] = missing
            return all_stored(dense)

        return transform

    def to_json(self) -> dict:
        """As plain numbers and lists."""
        return {
            "markers": self.markers,
            "cofactors": {name: values.tolist() for name, values in self.cofactors.items()},
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "limits": list(self.limits),
        }

    @classmethod
    def from_json(cls, found: dict) -> Transformation:
        """Back from `to_json`."""
        cofactors = {name: np.array(values) for name, values in found["cofactors"].items()}
        low, high = np.array(found["low"]), np.array(found["high"])
        return cls(found["markers"], cofactors, low, high, tuple(found.get("limits", LIMITS)))

    @classmethod
    def load(cls, genes_report: str | Path) -> Transformation:
        """From the summary that `select_markers` wrote."""
        return cls.from_json(json.loads(Path(genes_report).read_text(encoding="utf-8"))["transformation"])


def write_transformation(summary: dict, folder: Path) -> None:
    """Write how values become what a model takes into its folder, which then is all that others need.

    Parameters
    ----------
    summary
        What `select_markers` says: `transformation` and `values`.
    folder
        The model's.
    """
    told = {**summary["transformation"], "values": summary["values"]}
    (folder / TRANSFORMATION).write_text(json.dumps(told, indent=2, ensure_ascii=False), encoding="utf-8")


def all_stored(values: np.ndarray) -> sparse.csr_matrix:
    """All values as CSR (int32 indices): hardly one is zero, so looking for those does not pay."""
    n_rows, n_columns = values.shape
    indices = np.tile(np.arange(n_columns, dtype=np.int32), n_rows)
    indptr = np.arange(n_rows + 1, dtype=np.int32) * np.int32(n_columns)
    return sparse.csr_matrix((values.ravel(), indices, indptr), shape=values.shape)


def cofactors_of(given: str | float | dict, markers: list[str]) -> dict[str, np.ndarray]:
    """Cofactors by technology, one per marker, from `cytometry.cofactor`.

    Raises
    ------
    InputError
        If it names a marker that there is not.
    """
    own = given if isinstance(given, dict) else {}
    keys = [marker_key(marker) for marker in markers]
    told = {marker_key(marker): float(value) for marker, value in own.items()}
    unknown = [marker for marker in own if marker_key(marker) not in keys]
    if unknown:
        raise InputError(
            f"cytometry.cofactor: names {', '.join(unknown)}, which is none of the markers "
            f"({', '.join(markers)}); correct it"
        )
    everywhere = float(given) if isinstance(given, int | float) else None
    return {
        technology: np.array([told.get(key, everywhere or cofactor) for key in keys])
        for technology, cofactor in COFACTORS.items()
    }


def look_of(inspected: dict) -> Look:
    """What `inspect_dataset` wrote of a dataset's values."""
    return Look(**inspected["intensities"])


def check_kind(name: str, seen: Look, learned_from: dict[str, dict]) -> None:
    """Refuse a dataset whose values are scaled already where the model's own were not, or the other way.

    Parameters
    ----------
    name, seen
        The dataset's name, and what it holds.
    learned_from
        The same of the datasets that the transformation was learned from: `values` in genes.json.

    Raises
    ------
    InputError
        If they do not fit together.
    """
    kinds = {one["values"]: one["why"] for one in learned_from.values()}
    if (seen.values == SCALED) == (SCALED in kinds):
        return
    listed = ", ".join(f"{kind} ones ({why})" for kind, why in kinds.items())
    raise InputError(
        f"datasets.{name}: holds {seen.values} values ({seen.why}), and the model was trained on {listed}; "
        f"give both of one kind, or correct datasets.{name}.transformed"
    )


def markers_seen(inspected: dict) -> list[str]:
    """Names of the markers that `inspect_dataset` found."""
    return [name for name, kind, _ in inspected["channels"] if kind == MARKER]
