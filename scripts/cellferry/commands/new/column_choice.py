"""The columns chosen for labels and batches."""

from collections import Counter

from ...errors import InputError
from ...labels.columns import Choice, Column, choose_batch, choose_label, label_points, share_known
from .discovery import Found

AS_NAMED = "as you said"
"""The reason for a column that the user names."""


def choose(datasets: list[Found], label: str, batch: str) -> None:
    """Choose the columns of all datasets; those that the user names are taken where they are.

    Raises
    ------
    InputError
        If a reference lacks the column that the user names.
    """
    references = [one for one in datasets if one.role == "reference"]
    queries = [one for one in datasets if one.role == "query"]
    for one in references:
        if label and label not in one.dataset.obs_columns:
            raise InputError(f"LABEL={label}: {_lacks(one, label)}")
    if batch and not any(batch in one.dataset.obs_columns for one in datasets):
        raise InputError(f"BATCH={batch}: {_lacks(datasets[0], batch)}")
    of_queries = {
        value
        for one in queries
        for column in one.columns
        if label_points(column) >= 50
        for value in column.values
    }
    for one in references:
        one.label = _named(one, label) or choose_label(one.columns, of_queries)
    known = {value for one in references if one.label for value in one.label.column.values}
    like = next((one.label.column.name for one in references if one.label), None)
    for one in queries:
        one.label = _named(one, label) or choose_label(one.columns, known, like)
    for one in datasets:
        chosen = one.label.column.name if one.label else None
        one.batch = _named(one, batch) or choose_batch(one.columns, chosen)


def _lacks(one: Found, column: str) -> str:
    there = ", ".join(one.dataset.obs_columns) or "none"
    return f"{one.path} has no obs column '{column}'; it has: {there}"


def _named(one: Found, name: str) -> Choice | None:
    if not name or name not in one.dataset.obs_columns:
        return None
    column = next((column for column in one.columns if column.name == name), Column(name, Counter(), 0))
    return Choice(column, AS_NAMED, [])


def is_truth(one: Found, known: set[str]) -> bool:
    """Whether a query's labels can be compared with what the reference's say: half of its cells at least."""
    return one.label is not None and (
        one.label.why == AS_NAMED or share_known(one.label.column, known) >= 0.5
    )
