"""Intensities of cytometry: what they are like in a file, and how they become what the model learns from.

CytoVI's documentation asks for arcsinh of the values over a cofactor, and for scaling to 0..1. Both are the
reference's here: a query is transformed with what was learned on the reference, so that a model can be used
again. The range is not from the least to the greatest value, as in scikit-learn's MinMaxScaler, but between
quantiles: among millions of events there is always one that would squeeze all others together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from ..errors import InputError
from .marker_names import TRANSFORMATION, marker_key
from .value_detection import RAW
from .value_kind import ValueKind

COFACTORS = {"mass": 5.0, "fluorescence": 150.0}
"""What the field divides by before arcsinh."""

RANGE = (0.001, 0.999)
"""Quantiles of the reference's values that become 0 and 1."""

LIMITS = (-1.0, 2.0)
"""Scaled values are cut off here: farther out are artefacts, which would outweigh all other events."""

MIN_RANGE = 1e-6
"""A marker of less has one value, and is only moved, as scikit-learn's scaler has it."""


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

    def of(self, seen: ValueKind, measured: np.ndarray) -> Callable[[sparse.csr_matrix], sparse.csr_matrix]:
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
        span = np.where(self.high - self.low < MIN_RANGE, 1, self.high - self.low).astype(np.float32)
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
    def from_json(cls, content: dict) -> Transformation:
        """Back from `to_json`."""
        cofactors = {name: np.array(values) for name, values in content["cofactors"].items()}
        low, high = np.array(content["low"]), np.array(content["high"])
        return cls(content["markers"], cofactors, low, high, tuple(content.get("limits", LIMITS)))


def write_transformation(transformation: dict, values: dict[str, ValueKind], folder: Path) -> None:
    """Write how values become what a model takes into its folder, which then is all that others need.

    Parameters
    ----------
    transformation, values
        See `cellferry.artifacts.features.Features`.
    folder
        The model's.
    """
    content = {**transformation, "values": {name: asdict(kind) for name, kind in values.items()}}
    (folder / TRANSFORMATION).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


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
    by_marker = given if isinstance(given, dict) else {}
    keys = [marker_key(marker) for marker in markers]
    by_key = {marker_key(marker): float(value) for marker, value in by_marker.items()}
    unknown = [marker for marker in by_marker if marker_key(marker) not in keys]
    if unknown:
        raise InputError(
            f"cytometry.cofactor: names {', '.join(unknown)}, which is none of the markers "
            f"({', '.join(markers)}); correct it"
        )
    everywhere = float(given) if isinstance(given, int | float) else None
    return {
        technology: np.array([by_key.get(key, everywhere or cofactor) for key in keys])
        for technology, cofactor in COFACTORS.items()
    }
