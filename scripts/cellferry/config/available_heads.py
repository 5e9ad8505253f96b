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
"""All heads, in the order that their columns stand in."""

MANY_LABELS = 200
"""Above so many labels, linear discriminants take the place of multinomial regressions."""

MOST_LABELS = {"xgboost": MANY_LABELS, "expression_xgboost": MANY_LABELS, "expression_ranks": 2000}
"""Heads whose cost grows so fast with the labels that above these numbers others have to do.

Trees are one per label and round, hundreds of rounds: at 200 labels a cell is sent through tens of thousands.
Ranks are compared with each label gene by gene.
"""

ON_SKETCH = ("expression", "expression_pca", "expression_ranks")
"""Heads that learn from the expression of a sketch of the cells."""

TREES = ("xgboost", "expression_xgboost")
"""Heads of boosted trees."""

LINEAR = ("linear", "expression", "expression_pca")
"""Heads of multinomial regressions, or of discriminants in their place."""

LEARN_SUMS = LINEAR
"""Heads that cells with a coarser label train the sum of the labels below it.

Trees are grown one after the other from equal probabilities and never changed again: the first ones would
share out such cells among labels by chance, and the others would follow them.
"""

CELLTYPIST = "celltypist"
"""The head of an imported model of CellTypist, which is not trained here; it comes alone."""

ON_EXPRESSION = (*ON_SKETCH, "expression_xgboost", CELLTYPIST)
"""Heads that look at expression; the others look at the latent space. Heads of one view err together."""

SCANVI_MODELS_ONLY = "only a model of type scanvi has such a classifier"
CYTOMETRY_ONLY = "cytovi and expression_xgboost take cytometry (modality)"
COUNTS_ONLY = "expression_pca and expression_ranks take counts (modality)"
WITHOUT_EXPRESSION = "a model of others comes without the counts that heads on expression learn from"


def unavailable_heads(*, scanvi_model: bool, cytometry: bool, expression: bool) -> dict[str, str]:
    """Heads that cannot be trained, each with the reason.

    Parameters
    ----------
    scanvi_model
        Whether the model has scANVI's classifier.
    cytometry
        Whether the modality is cytometry.
    expression
        Whether there is expression of the reference's cells: counts, or marker values.
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
    """Those of the heads that can be trained, in their order; see `unavailable_heads`."""
    unavailable = unavailable_heads(scanvi_model=scanvi_model, cytometry=cytometry, expression=expression)
    return [head for head in heads if head not in unavailable]


def affordable_heads(heads: list[str], *, n_labels: int) -> list[str]:
    """Those of the heads that so many labels allow (`MOST_LABELS`), in their order.

    One that is the only head of its view stays: whoever names it alone gets it.
    """
    kept = {head for head in heads if n_labels <= MOST_LABELS.get(head, n_labels)}
    views = {head in ON_EXPRESSION for head in kept}
    return [head for head in heads if head in kept or (head in ON_EXPRESSION) not in views]
