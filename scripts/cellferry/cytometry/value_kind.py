"""The kind of a dataset's intensities, detected in its first cells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ValueKind:
    """The kind of values that a dataset's markers have.

    Attributes
    ----------
    values
        `raw`, `transformed` (no arcsinh is needed) or `scaled` (to 0..1, besides).
    technology
        `mass` or `fluorescence`; None for a pre-trained model, if unknown.
    why
        The reasons, for people.
    """

    values: str
    technology: str | None
    why: str
