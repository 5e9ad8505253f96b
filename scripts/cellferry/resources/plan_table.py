"""The plan as a text table, with a remedy per rule that does not fit."""

from math import ceil

from ..artifacts.inspection import Inspection
from ..core.text import aligned, duration
from .budget import SNAKEMAKE_MB
from .plan import Line, Shortage

TOO_LITTLE = "TOO LITTLE"
"""The table's mark for a rule that does not fit."""

BY_CHUNKS = ("map_query", "predict_labels")
"""Rules with shorter jobs if there are more chunks."""


def as_table(lines: list[Line], *, datasets: list[Inspection], free_mb: float, note: str) -> str:
    """The plan as text of at most 100 columns: datasets, rules, and rules that do not fit.

    Parameters
    ----------
    lines
        The rules.
    datasets
        Their inspections.
    free_mb
        Free disk space for results.
    note
        Explanation of the columns, printed below the table.
    """
    heads = ("rule", "jobs", "memory", "predicted", "disk", "longest", "all jobs", "")
    rows = [
        (
            line.rule,
            f"{line.jobs:,}",
            f"{line.mem_mb:,} MB",
            f"{line.peak_mb + SNAKEMAKE_MB:,} MB",
            size(line.disk_mb),
            duration(line.longest),
            duration(line.seconds),
            _mark(line.shortages),
        )
        for line in lines
    ]
    largest = max(lines, key=lambda line: line.peak_mb)
    disk_mb = sum(line.disk_mb for line in lines)
    rows.append(
        (
            "all",
            f"{sum(line.jobs for line in lines):,}",
            f"{max(line.mem_mb for line in lines):,} MB",
            f"{largest.peak_mb + SNAKEMAKE_MB:,} MB",
            size(disk_mb),
            duration(max(line.longest for line in lines)),
            duration(sum(line.seconds for line in lines)),
            "fits" if disk_mb < free_mb else TOO_LITTLE,
        )
    )
    return "\n".join(
        [*_dataset_lines(datasets), "", *aligned([heads, *rows]), note, *_verdicts(lines, disk_mb, free_mb)]
    )


def _mark(shortages: list[Shortage]) -> str:
    """The table's mark for a rule's shortages."""
    if not shortages:
        return "fits"
    return "later" if all(shortage.fits_on for shortage in shortages) else TOO_LITTLE


def _dataset_lines(datasets: list[Inspection]) -> list[str]:
    """One line per dataset."""
    rows = []
    for inspection in datasets:
        kept, whole = inspection.cells_kept, inspection.cells
        labels = f"{inspection.n_labels:,}" if inspection.label else ""
        rows.append(
            (
                inspection.dataset if len(inspection.dataset) <= 30 else f"{inspection.dataset[:29]}…",
                inspection.role,
                f"{kept:,}" if kept == whole else f"{kept:,} of {whole:,}",
                f"{inspection.genes:,}",
                labels,
                f"{inspection.n_batches:,}",
                "",
            )
        )
    return aligned([("dataset", "role", "cells", "genes", "labels", "batches", ""), *rows])


def _verdicts(lines: list[Line], disk_mb: float, free_mb: float) -> list[str]:
    """Rules that do not fit, or only on a later attempt, with remedies."""
    short = [(line.rule, shortage) for line in lines for shortage in line.shortages]
    later = [
        f"  {rule}: {shortage.resource}={shortage.requested[0]} is too low, "
        f"attempt {shortage.fits_on} has enough."
        for rule, shortage in short
        if shortage.fits_on
    ]
    wrong = [
        f"  {rule}: {shortage.resource} is at most {max(shortage.requested)}, "
        f"but {shortage.needed} is needed.\n"
        f"      {_remedy(rule, shortage)}"
        for rule, shortage in short
        if not shortage.fits_on
    ]
    if disk_mb >= free_mb:
        wrong.append(
            f"  disk: the results take {size(disk_mb)}, but {size(free_mb)} are free here.\n"
            "      Free some space, or work in a folder elsewhere (snakemake --directory)."
        )
    verdicts = []
    if later:
        verdicts += ["", "Fits only on a later attempt, after failed ones:", *later]
    if wrong:
        return [*verdicts, "", f"DOES NOT FIT ({len(wrong)}):", *wrong]
    return [*verdicts, "", f"Everything fits; {size(free_mb)} of disk are free here."]


def _remedy(rule: str, shortage: Shortage) -> str:
    """The remedy for a rule that does not fit."""
    if shortage.resource == "mem_mb":
        return f"In the profile, set mem_mb of {rule} (and max_mem_mb) to {shortage.needed} or more."
    if rule in BY_CHUNKS:
        return "Raise datasets.NAME.chunks, so that each job is shorter."
    if rule == "convert_to_chunks":
        return "Raise datasets.NAME.jobs, so that more jobs share the file."
    if rule == "train_reference_model":
        return "Use a GPU, or set reference.subsample; a restarted training resumes."
    return f"In the profile, set runtime of {rule} (and max_minutes) to {shortage.needed} or more."


def size(mb: float) -> str:
    """Megabytes as text."""
    return f"{mb / 1024:,.1f} GB" if mb >= 1024 else f"{ceil(mb)} MB"
