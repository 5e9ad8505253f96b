"""Inspection of a cytometry dataset's channels and marker values."""

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
"""Larger than any value that an instrument measures."""


def describe_channels(dataset: Dataset, firsts: dict[int, Block | None]) -> Findings:
    """The channels, and the kind of the markers' values in the first events of each file.

    Parameters
    ----------
    firsts
        Result of `first_blocks`; at least one file has a block.
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
                f"{file.path}: there are values beyond {HUGE:g} ({listed(huge)}); they are clipped to the "
                "reference's range"
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
    """Problems of channels that count as markers, but rise from event to event like a time.

    Parameters
    ----------
    values
        First events by number of the file: events × markers.
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
                    f"set it in cytometry.markers to null if it is not a marker ('{name}': null), else to "
                    f"its name ('{name}': {name})",
                ),
            )
    return list(problems.values())


def left_out_markers(dataset: Dataset) -> list[str]:
    """Warning of markers that only some of a dataset's files have."""
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
        " if one has another name in some files, add it to cytometry.markers, or make datasets of the files"
    ]


def other_values(dataset: Dataset, looks: dict[int, ValueKind]) -> list[Problem]:
    """Problem of files whose values are of another kind than those of the first file."""
    files = dataset.headers
    first, seen = next(iter(looks.items()), (0, None))
    return [
        Problem(
            str(files[number].path),
            f"holds {look.values} values ({look.why}), but {files[first].path} {seen.values} ones "
            f"({seen.why})",
            "give all files as they were measured, split them into datasets, or set "
            f"{dataset.key('transformed')}",
        )
        for number, look in looks.items()
        if look.values != seen.values
    ][:1]
