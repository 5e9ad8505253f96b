"""Files of a reference that its heads are trained from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingFiles:
    """Files of a reference that its heads are trained from.

    Parameters
    ----------
    train, validation
        Mapped chunks of the reference's training and validation cells.
    model
        Folder of the reference model; a scANVI model has a classifier of its own.
    common
        Expression of the training cells, in the order of `train`: counts or marker values; None without
        expression, and then without heads on it.
    validation_common
        The same of the validation cells, in the order of `validation`.
    rare
        Counts of cells of rare labels; they are not in `train`.
    """

    train: list[str]
    validation: list[str]
    model: str
    common: str | None = None
    validation_common: str | None = None
    rare: str | None = None
