"""Heads (classifiers) that can be trained with a model, a modality and a reference."""

HEADS = (
    "xgboost",
    "linear",
    "neighbors",
    "scanvi",
    "cytovi",
    "expression",
    "expression_pca",
    "expression_ranks",
    "expression_xgboost",
)
"""All heads, in the order of their columns."""

MANY_LABELS = 200
"""Above so many labels, linear discriminants replace multinomial regressions."""

MOST_LABELS = {"xgboost": MANY_LABELS, "expression_xgboost": MANY_LABELS, "expression_ranks": 2000}
"""Heads that are left out above these numbers of labels, because their cost grows too fast.

There is one tree per label and round, with hundreds of rounds: at 200 labels a cell passes tens of thousands.
Ranks are compared with each label, gene by gene.
"""

ON_SKETCH = ("expression", "expression_pca", "expression_ranks")
"""Heads trained on the expression of a sketch of the cells."""

TREES = ("xgboost", "expression_xgboost")
"""Heads of boosted trees."""

LINEAR = ("linear", "expression", "expression_pca")
"""Heads of multinomial regressions, or of discriminants instead."""

LEARN_SUMS = LINEAR
"""Heads that use cells with a coarser label to train the sum of the labels below it.

Trees are grown one after the other from equal probabilities and stay fixed: the first ones would distribute
such cells among labels by chance, and later ones would follow.
"""

CELLTYPIST = "celltypist"
"""The head of an imported CellTypist model, which is not trained here and is the only head."""

ON_EXPRESSION = (*ON_SKETCH, "expression_xgboost", CELLTYPIST)
"""Heads on expression; the others use the latent space. Heads of one view make correlated errors."""

SCANVI_MODELS_ONLY = "only a model of type scanvi has such a classifier"
CYTOMETRY_ONLY = "cytovi and expression_xgboost need the modality cytometry"
COUNTS_ONLY = "expression_pca and expression_ranks need counts (modality rna)"
WITHOUT_EXPRESSION = "a pre-trained model has no counts to train heads on expression"


def unavailable_heads(*, scanvi_model: bool, cytometry: bool, expression: bool) -> dict[str, str]:
    """Heads that cannot be trained, each with the reason.

    Parameters
    ----------
    scanvi_model
        True if the model has scANVI's classifier.
    cytometry
        True if the modality is cytometry.
    expression
        True if there are counts or marker values of the reference's cells.
    """
    reasons = {}
    if cytometry or not scanvi_model:
        reasons["scanvi"] = SCANVI_MODELS_ONLY
    if not expression:
        reasons |= dict.fromkeys(ON_EXPRESSION, WITHOUT_EXPRESSION)
    if cytometry:
        reasons["expression_pca"] = reasons["expression_ranks"] = COUNTS_ONLY
    if not cytometry:
        reasons["cytovi"] = reasons["expression_xgboost"] = CYTOMETRY_ONLY
    return reasons


def available_heads(heads: list[str], *, scanvi_model: bool, cytometry: bool, expression: bool) -> list[str]:
    """The heads that can be trained, in order; see `unavailable_heads`."""
    unavailable = unavailable_heads(scanvi_model=scanvi_model, cytometry=cytometry, expression=expression)
    return [head for head in heads if head not in unavailable]


def affordable_heads(heads: list[str], *, n_labels: int) -> list[str]:
    """The heads that so many labels allow (`MOST_LABELS`), in order.

    The only head of a view is kept.
    """
    kept = {head for head in heads if n_labels <= MOST_LABELS.get(head, n_labels)}
    views = {head in ON_EXPRESSION for head in kept}
    return [head for head in heads if head in kept or (head in ON_EXPRESSION) not in views]
