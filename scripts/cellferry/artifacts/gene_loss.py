"""Accuracy lost to genes that a query lacks, as estimate_missing_genes writes it to `gene_loss.json`."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class LabelLoss:
    """A label's loss.

    Attributes
    ----------
    f1, f1_without
        F1 of validation cells with all genes, and without the missing ones.
    cells
        Number of its validation cells.
    """

    f1: float
    f1_without: float
    cells: int


@dataclass(frozen=True)
class GeneLoss:
    """Accuracy that a query loses with the genes or markers of the model that it lacks.

    Attributes
    ----------
    genes, measured
        Number of the model's genes, and of those that the query has.
    without_ortholog
        Number of the model's genes without an ortholog in the query's species; None where the two are of one
        species.
    cells
        Number of validation cells of the reference that were scored.
    macro_f1, macro_f1_without
        Macro-F1 of their best labels with all genes, and without the missing ones; None without cells.
    loss
        Difference of the two; None without cells.
    labels
        The same by label.
    baseline_f1, baseline_f1_retrained
        Macro-F1 of the simple baseline on these cells, trained on all genes, and on the query's alone; None
        without training cells, or with too many labels.
    advice
        Whether training on genes that the query has is advised: the loss is too large, and by the baseline
        that would cost less.
    """

    VERSION: ClassVar[int] = 2

    genes: int
    measured: int
    cells: int
    macro_f1: float | None
    macro_f1_without: float | None
    loss: float | None
    labels: dict[str, LabelLoss]
    baseline_f1: float | None
    baseline_f1_retrained: float | None
    advice: bool
    without_ortholog: int | None = None

    @property
    def loss_retrained(self) -> float | None:
        """Loss of the baseline when trained on the query's genes only; None if not estimated."""
        if self.baseline_f1 is None or self.baseline_f1_retrained is None:
            return None
        return self.baseline_f1 - self.baseline_f1_retrained
