"""Transformation of cytometry's intensities from file values to model values.

CytoVI's documentation recommends arcsinh of the values over a cofactor, and scaling to 0..1. Both are fitted
on the reference and applied to queries, so that a model can be reused. The range is not from the least to the
greatest value, as in scikit-learn's MinMaxScaler, but between quantiles: among millions of events there is
always one that would squeeze all others together.
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
"""Usual cofactors: divisors before arcsinh."""

RANGE = (0.001, 0.999)
"""Quantiles of the reference's values that become 0 and 1."""

LIMITS = (-1.0, 2.0)
"""Limits of scaled values: artifacts beyond would outweigh all other events."""

MIN_RANGE = 1e-6
"""A marker with a smaller range is constant, and is only shifted, as in scikit-learn's scaler."""


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
        Limits of scaled values.
    """

    markers: list[str]
    cofactors: dict[str, np.ndarray]
    low: np.ndarray
    high: np.ndarray
    limits: tuple[float, float] = LIMITS

    def of(self, seen: ValueKind, measured: np.ndarray) -> Callable[[sparse.csr_matrix], sparse.csr_matrix]:
        """Function from a dataset's values to the model's.

        Parameters
        ----------
        seen
            Kind of the dataset's values.
        measured
            Mask of the markers it has; others are 0, or the nearest value within the limits.

        Returns
        -------
        Function of cells × markers (CSR) that returns all values stored, float32.
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
        """Inverse of `to_json`."""
        cofactors = {name: np.array(values) for name, values in content["cofactors"].items()}
        low, high = np.array(content["low"]), np.array(content["high"])
        return cls(content["markers"], cofactors, low, high, tuple(content.get("limits", LIMITS)))


def write_transformation(transformation: dict, values: dict[str, ValueKind], folder: Path) -> None:
    """Write the transformation into a model's folder, which makes it complete.

    Parameters
    ----------
    transformation, values
        See `cellferry.artifacts.features.Features`.
    folder
        The model's folder.
    """
    content = {**transformation, "values": {name: asdict(kind) for name, kind in values.items()}}
    (folder / TRANSFORMATION).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def all_stored(values: np.ndarray) -> sparse.csr_matrix:
    """All values as CSR (int32 indices); few are zero, so zeros are kept."""
    n_rows, n_columns = values.shape
    indices = np.tile(np.arange(n_columns, dtype=np.int32), n_rows)
    indptr = np.arange(n_rows + 1, dtype=np.int32) * np.int32(n_columns)
    return sparse.csr_matrix((values.ravel(), indices, indptr), shape=values.shape)


def cofactors_of(given: str | float | dict, markers: list[str]) -> dict[str, np.ndarray]:
    """Cofactors by technology, one per marker, from `cytometry.cofactor`.

    Raises
    ------
    InputError
        If it names an unknown marker.
    """
    by_marker = given if isinstance(given, dict) else {}
    keys = [marker_key(marker) for marker in markers]
    by_key = {marker_key(marker): float(value) for marker, value in by_marker.items()}
    unknown = [marker for marker in by_marker if marker_key(marker) not in keys]
    if unknown:
        raise InputError(
            f"cytometry.cofactor: names {', '.join(unknown)}, not among the markers "
            f"({', '.join(markers)}); correct it"
        )
    everywhere = float(given) if isinstance(given, int | float) else None
    return {
        technology: np.array([by_key.get(key, everywhere or cofactor) for key in keys])
        for technology, cofactor in COFACTORS.items()
    }
