"""The kind of a dataset's intensities, as a first look shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ValueKind:
    """The kind of values that a dataset's markers have.

    Attributes
    ----------
    values
        `raw`, `transformed` (no arcsinh is needed) or `scaled` (to 0..1, besides).
    technology
        `mass` or `fluorescence`; None of a model of others, where it is not known.
    why
        The reasons, for people.
    """

    values: str
    technology: str | None
    why: str
