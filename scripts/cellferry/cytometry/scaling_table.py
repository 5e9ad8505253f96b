"""Transformation of intensities for a pre-trained model, from its folder or a user's table."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.reading import readable
from ..core.table_start import skip_to_rows, table_start
from ..core.text import open_text
from ..errors import InputError
from .marker_names import SCALING_COLUMNS, TRANSFORMATION, listed, marker_key
from .transformation import Transformation, cofactors_of
from .value_detection import SCALED, TRANSFORMED
from .value_kind import ValueKind

COFACTOR = "cofactor"

GIVEN = "pretrained"
"""Name of the unknown training datasets of a pre-trained model."""


def told_scaling(
    folder: str,
    table: str | None,
    markers: list[str],
    *,
    cofactor: str | float | dict,
    limits: tuple[float, float],
) -> tuple[Transformation, dict[str, ValueKind]]:
    """The transformation of a pre-trained model.

    Parameters
    ----------
    folder
        The model's folder; a model that this workflow trained has its transformation there.
    table
        The key `pretrained.scaling`: a table of marker, low and high; None: datasets have the
        model's values.
    markers
        The model's, in its order.
    cofactor
        The key `cytometry.cofactor`, for markers without a cofactor in the table.
    limits
        Limits of scaled values, if the model's folder does not have them.

    Returns
    -------
    The transformation, and the kind of values that it was fitted on, as `values` of `select_markers`.

    Raises
    ------
    InputError
        If the transformation is incomplete, or not of this model.
    """
    beside = Path(folder, TRANSFORMATION)
    if beside.is_file():
        if table is not None:
            raise InputError(
                f"pretrained.scaling: {folder} contains {TRANSFORMATION} with the scaling of values; "
                "remove the key"
            )
        return _read_transformation(beside, markers)
    if table is None:
        kind, why = SCALED, "without a table in pretrained.scaling values are used unchanged"
        low, high = np.zeros(len(markers)), np.ones(len(markers))
        cofactors = cofactors_of("auto", markers)
    else:
        kind, why = TRANSFORMED, f"{table} gives the values that became 0 and 1"
        low, high, cofactors = _read_table(table, markers, cofactor)
    transformation = Transformation(markers, cofactors, low, high, limits)
    return transformation, {GIVEN: ValueKind(kind, None, why)}


def _read_transformation(path: Path, markers: list[str]) -> tuple[Transformation, dict[str, ValueKind]]:
    """The file of `train_reference_model` beside its model."""
    with readable(path):
        text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        transformation = Transformation.from_json(content)
        learned_from = {name: ValueKind(**kind) for name, kind in content["values"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"pretrained.model: {path} is damaged or of another program ({error!r}); copy the "
            "model's folder again"
        ) from error
    if transformation.markers != markers:
        others = sorted(set(markers) ^ set(transformation.markers))
        raise InputError(
            f"pretrained.model: {path} is of another model, with other markers "
            f"({listed(others) or 'in another order'}); copy the model's folder again"
        )
    return transformation, learned_from


def _read_table(
    path: str, markers: list[str], cofactor: str | float | dict
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """`low` and `high` of each marker, and its cofactors by technology."""
    table = _rows_of(path, markers)
    low, high = (_numbers(table[column]) for column in ("low", "high"))
    wrong = ~(np.isfinite(low) & np.isfinite(high) & (low < high))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"pretrained.scaling: {path} gives {markers[first]} the values '{table['low'].iloc[first]}' and "
            f"'{table['high'].iloc[first]}'; low and high are numbers, and low is the smaller one"
        )
    cofactors = cofactors_of(cofactor, markers)
    if COFACTOR not in table:
        return low, high, cofactors
    texts = table[COFACTOR].str.strip().to_numpy()
    numbers = _numbers(table[COFACTOR])
    wrong = (texts != "") & ~((numbers > 0) & np.isfinite(numbers))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"pretrained.scaling: {path} gives {markers[first]} the cofactor '{texts[first]}'; give a number "
            "above 0, or none for that of cytometry.cofactor"
        )
    by_technology = {name: np.where(texts != "", numbers, values) for name, values in cofactors.items()}
    return low, high, by_technology


def _numbers(column: pd.Series) -> np.ndarray:
    """Text as numbers, NaN for other text."""
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def _rows_of(path: str, markers: list[str]) -> pd.DataFrame:
    """The table's rows of the markers, in their order, as text."""
    with readable(Path(path)):
        start = table_start(Path(path), blanks="always")
        if start is None:
            raise InputError(f"pretrained.scaling: {path} is empty; name another table or remove the key")
        with open_text(Path(path)) as file:
            skip_to_rows(file, start)
            rows = file.read().decode()
    try:
        table = pd.read_csv(
            StringIO(rows),
            sep=start.separator,
            header=None,
            names=start.column_names,
            index_col=False,
            dtype=str,
            keep_default_na=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"pretrained.scaling: {path} is not a table ({error}); correct or export it again"
        ) from error
    lacking = [column for column in SCALING_COLUMNS if column not in table]
    if lacking:
        raise InputError(
            f"pretrained.scaling: {path} has no column {', '.join(lacking)}; it has: "
            f"{', '.join(table.columns)}"
        )
    keys = table["marker"].map(marker_key)
    twice = keys.duplicated()
    if twice.any():
        raise InputError(
            f"pretrained.scaling: {path} has the marker {table['marker'][twice].iloc[0]} twice; keep one of "
            "them"
        )
    missing = [marker for marker in markers if marker_key(marker) not in set(keys)]
    if missing:
        raise InputError(
            f"pretrained.scaling: {path} lacks {listed(missing)} of the model's {len(markers)} markers, and "
            f"has {listed(table['marker'])}; add them"
        )
    return table.set_index(keys).loc[[marker_key(marker) for marker in markers]]
