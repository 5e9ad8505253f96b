"""Choice of columns for labels and batches."""

from collections import Counter

from ...errors import InputError
from ...labels.columns import Choice, Column, choose_batch, choose_label, label_points, share_known
from .discovery import Entry

AS_NAMED = "as given"
"""The reason for a column that the user gives."""


def choose(entries: list[Entry], label: str, batch: str) -> None:
    """Choose the columns of all datasets; columns that the user gives are used where they exist.

    Raises
    ------
    InputError
        If a reference lacks the column that the user gives.
    """
    references = [entry for entry in entries if entry.role == "reference"]
    queries = [entry for entry in entries if entry.role == "query"]
    for entry in references:
        if label and label not in entry.dataset.obs_columns:
            raise InputError(f"LABEL={label}: {_lacks(entry, label)}")
    if batch and not any(batch in entry.dataset.obs_columns for entry in entries):
        raise InputError(f"BATCH={batch}: {_lacks(entries[0], batch)}")
    of_queries = {
        value
        for entry in queries
        for column in entry.columns
        if label_points(column) >= 50
        for value in column.values
    }
    for entry in references:
        entry.label = _named(entry, label) or choose_label(entry.columns, of_queries)
    known = {value for entry in references if entry.label for value in entry.label.column.values}
    like = next((entry.label.column.name for entry in references if entry.label), None)
    for entry in queries:
        entry.label = _named(entry, label) or choose_label(entry.columns, known, like)
    for entry in entries:
        chosen = entry.label.column.name if entry.label else None
        entry.batch = _named(entry, batch) or choose_batch(entry.columns, chosen)


def _lacks(entry: Entry, column: str) -> str:
    there = ", ".join(entry.dataset.obs_columns) or "none"
    return f"{entry.path} has no obs column '{column}'; it has: {there}"


def _named(entry: Entry, name: str) -> Choice | None:
    if not name or name not in entry.dataset.obs_columns:
        return None
    column = next((column for column in entry.columns if column.name == name), Column(name, Counter(), 0))
    return Choice(column, AS_NAMED, [])


def is_truth(entry: Entry, known: set[str]) -> bool:
    """True if at least half of a query's cells have labels of the reference."""
    return entry.label is not None and (
        entry.label.why == AS_NAMED or share_known(entry.label.column, known) >= 0.5
    )
