"""A look at a cytometry dataset's channels, and at the values of its markers."""

import numpy as np

from ..artifacts.inspection import InspectedChannel
from ..core.problems import Problem
from ..cytometry.channels import named_channels
from ..cytometry.marker_names import CHANNEL, DETECTOR, KIND, MARKER, listed, marker_key, read_markers
from ..cytometry.panels import markers_of
from ..cytometry.value_detection import detect_values
from ..cytometry.value_kind import ValueKind
from ..formats import Block
from .count_inspection import MIN_EVENTS
from .dataset import Dataset
from .findings import Findings

HUGE = 1e8
"""No instrument measures more."""


def describe_channels(dataset: Dataset, firsts: dict[int, Block | None]) -> Findings:
    """The channels, and what the markers' values are like in the first events of each file.

    Parameters
    ----------
    firsts
        As `first_blocks` gives them; at least one file has a block.
    """
    var = dataset.header.var
    markers = (var[KIND] == MARKER).to_numpy()
    values = {
        number: block.counts[:, markers].toarray() for number, block in firsts.items() if block is not None
    }
    problems, doubts = rising_markers(dataset, values), left_out_markers(dataset)
    looks = {}
    for number, events in values.items():
        file = dataset.headers[number]
        with np.errstate(invalid="ignore"):
            huge = var.index[markers][(np.abs(events) > HUGE).any(axis=0)].tolist()
        if huge:
            doubts.append(
                f"{file.path}: there are values beyond {HUGE:g} ({listed(huge)}); they are cut off where the "
                "reference's range ends"
            )
        looks[number] = detect_values(
            events,
            var,
            technology=dataset.config["technology"],
            transformed=dataset.config["transformed"],
            machine=file.details.get("machine", ""),
        )
    problems += other_values(dataset, {n: look for n, look in looks.items() if len(values[n]) >= MIN_EVENTS})
    seen = next(iter(looks.values()))
    dropped = [f"{name} ({kind})" for name, kind in zip(var.index, var[KIND], strict=True) if kind != MARKER]
    print(
        f"{markers.sum()} markers: {listed(var.index[markers])}; dropped: {', '.join(dropped) or 'nothing'}"
    )
    print(f"{seen.values} values of {seen.technology} cytometry: {seen.why}")
    channels = [InspectedChannel(name, row[KIND], row[CHANNEL]) for name, row in var.iterrows()]
    named = named_channels(dataset.config["markers"], [file.var for file in dataset.headers])
    return Findings(
        {"channels": channels, "intensities": seen}, {"cytometry.markers": named}, problems, doubts
    )


def rising_markers(dataset: Dataset, values: dict[int, np.ndarray]) -> list[Problem]:
    """What is wrong with channels of cytometry that count as markers and rise as a time does.

    Parameters
    ----------
    values
        Of the first events of files, by their numbers: events × markers.
    """
    table = read_markers(dataset.config["markers"])
    markers = dataset.header.var[dataset.header.var[KIND] == MARKER]
    problems: dict[str, Problem] = {}
    for number, events in values.items():
        if len(events) < MIN_EVENTS:
            continue
        rising = (np.diff(events, axis=0) >= 0).all(axis=0) & (events[0] < events[-1])
        for name, row in markers[rising].iterrows():
            if table.find(name, row[CHANNEL], row.get(DETECTOR, row[CHANNEL]))[0]:
                continue
            problems.setdefault(
                name,
                Problem(
                    str(dataset.headers[number].path),
                    f"'{name}' rises from event to event, as a time or a number does, and counts as a marker",
                    f"say in cytometry.markers that it is none ('{name}': null), or that it is one "
                    f"('{name}': {name})",
                ),
            )
    return list(problems.values())


def left_out_markers(dataset: Dataset) -> list[str]:
    """A word about markers of cytometry that some of a dataset's files have, and not all."""
    used = set(map(marker_key, markers_of(dataset.header.var)))
    files: dict[str, list[str]] = {}
    for file in dataset.headers:
        for marker in markers_of(file.var):
            if marker_key(marker) not in used:
                files.setdefault(marker_key(marker), [marker]).append(file.path.name)
    if not files:
        return []
    n = len(dataset.headers)
    left_out = [
        f"{marker} (in {listed(names) if len(names) < 4 else f'{len(names)} of {n}'})"
        for marker, *names in files.values()
    ]
    return [
        f"{dataset.key('path')}: markers that not all of its {n} files have are left out: {listed(left_out)};"
        " if some are called otherwise elsewhere, say so in cytometry.markers, or make datasets of the files"
    ]


def other_values(dataset: Dataset, looks: dict[int, ValueKind]) -> list[Problem]:
    """What is wrong with files of cytometry, by their numbers, whose values are of different kinds."""
    files = dataset.headers
    first, seen = next(iter(looks.items()), (0, None))
    return [
        Problem(
            str(files[number].path),
            f"holds {look.values} values ({look.why}), and {files[first].path} {seen.values} ones "
            f"({seen.why})",
            "give all as they were measured, make datasets of their own of them, or say what they are in "
            f"{dataset.key('transformed')}",
        )
        for number, look in looks.items()
        if look.values != seen.values
    ][:1]
