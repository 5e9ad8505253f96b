"""Panels: the markers that several datasets share."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from ..errors import InputError
from .marker_names import KIND, MARKER, listed, marker_key


def markers_of(var: pd.DataFrame) -> list[str]:
    """Names of the markers among the channels of a merged file, in its order."""
    return var.index[var[KIND] == MARKER].tolist()


def names_in_model(var: pd.DataFrame, model_markers: Iterable[str]) -> list[str | None]:
    """Model's names of a merged file's channels; None for channels that it lacks."""
    known = {marker_key(marker): marker for marker in model_markers}
    return [
        known.get(marker_key(name)) if kind == MARKER else None
        for name, kind in zip(var.index, var[KIND], strict=True)
    ]


class Panels(NamedTuple):
    """The markers of several datasets.

    Attributes
    ----------
    markers
        Markers of any reference, under the name in the first of them.
    backbone
        Markers that every dataset has.
    names
        By dataset, the model's marker for each of its markers; its own name if no reference has it.
    """

    markers: list[str]
    backbone: list[str]
    names: dict[str, list[str]]


def joint_panels(panels: dict[str, list[str]], references: list[str]) -> Panels:
    """Find the markers that datasets share.

    Parameters
    ----------
    panels
        Names of the markers of each dataset.
    references
        Names of the references among the datasets; at least one.
    """
    called: dict[str, str] = {}
    for name in references:
        for marker in panels[name]:
            called.setdefault(marker_key(marker), marker)
    names = {
        name: [called.get(marker_key(marker), marker) for marker in panel] for name, panel in panels.items()
    }
    markers = list(called.values())
    backbone = [marker for marker in markers if all(marker in panel for panel in names.values())]
    return Panels(markers, backbone, names)


def check_backbone(panels: Panels, references: list[str], min_common: float) -> None:
    """Refuse a backbone with too few of the references' markers.

    Raises
    ------
    InputError
        If it is less than `min_common` of the smallest reference's markers, or fewer than two.
    """
    smallest = min(len(panels.names[name]) for name in references)
    if len(panels.backbone) >= max(2, min_common * smallest):
        return
    lacking = {
        name: [marker for marker in panels.markers if marker not in panel]
        for name, panel in panels.names.items()
    }
    most = max(lacking, key=lambda name: len(lacking[name]))
    raise InputError(
        f"only {len(panels.backbone)} of the references' {smallest} markers are in all datasets "
        f"({', '.join(f'{name} {len(panel)}' for name, panel in panels.names.items())} markers), and "
        f"genes.min_common is {min_common}. '{most}' lacks {listed(lacking[most])} and has "
        f"{listed(panels.names[most])}: if some of these have other names, add them to cytometry.markers; "
        "else leave the dataset out, or lower genes.min_common"
    )


def check_share(name: str, markers: list[str], backbone: list[str], min_common: float) -> None:
    """Refuse a dataset with too few of a model's input markers.

    Parameters
    ----------
    name, markers
        The dataset's name, and its markers.
    backbone
        The model's input markers.
    min_common
        Share of them that it must have.

    Raises
    ------
    InputError
        If it has fewer, or none.
    """
    keys = set(map(marker_key, markers))
    lacking = [marker for marker in backbone if marker_key(marker) not in keys]
    n_present = len(backbone) - len(lacking)
    if n_present and n_present >= min_common * len(backbone):
        return
    raise InputError(
        f"datasets.{name}: has {n_present} of the model's {len(backbone)} input markers, and "
        f"genes.min_common is {min_common}; it lacks {listed(lacking)} and has {listed(markers)}: if some of "
        "these have other names, add them to cytometry.markers; else leave the dataset out, or train on "
        "markers that both have"
    )
