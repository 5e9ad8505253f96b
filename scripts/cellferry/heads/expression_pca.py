"""A linear model on principal components of expression, beside the one on z-scored genes.

Z-scores give every gene the same weight, also those that hardly vary. Components follow shared variation,
with more weight on strongly expressed genes: they are robust to noise in weak genes, and sensitive to shifts
of strong genes.
"""

import numpy as np
from scipy import sparse

from ..config.available_heads import MANY_LABELS
from .discriminants import discriminants
from .expression import ExpressionHead, log_normalized
from .marginal import CoarseCells
from .shrinkage import HeldOut, of_all_labels, shrunk_regression

COMPONENTS = 50
"""The default of scanpy's `pp.pca`."""

REGULARIZATION = 0.1
"""scikit-learn's C without held-out cells."""


class ExpressionPcaHead(ExpressionHead):
    """Multinomial logistic regression on 50 principal components of log1p CP10k.

    Components are linear in the genes, so the model is stored as coefficients of genes. Linear discriminants
    replace the regression for very many labels, and are stored as axes in the genes.
    """

    file_name = "expression_pca.npz"

    @classmethod
    def train(
        cls,
        values: sparse.csr_matrix,
        codes: np.ndarray,
        held_out: HeldOut | None = None,
        *,
        n_labels: int,
        coarse: CoarseCells | None = None,
    ) -> "ExpressionPcaHead":
        """Train on raw counts (cells × genes, CSR) and label codes; held-out cells choose the shrinkage.

        `coarse` are further cells, with a coarser label; they are not used for the components.
        """
        # Late: only training needs it, and importing it takes longer than predicting a chunk.
        from sklearn.decomposition import PCA

        expression = log_normalized(values)
        n_components = min(COMPONENTS, min(expression.shape) - 1)
        pca = PCA(n_components, svd_solver="arpack", random_state=0).fit(expression)
        if held_out is not None:
            held_out = pca.transform(log_normalized(held_out[0])), held_out[1]
        if n_labels > MANY_LABELS:
            found = discriminants(pca.transform(expression), codes, n_labels=n_labels, reduce=False)
            axes = (pca.components_.T @ found.axes).astype(np.float32)
            intercepts = found.intercepts - found.coefficients @ (pca.mean_ @ axes)
            return cls(found.coefficients, intercepts, axes=axes)
        if coarse is not None:
            coarse = coarse.of(pca.transform(log_normalized(coarse.values)))
        components = pca.transform(expression)
        model = shrunk_regression(components, codes, held_out, fallback=REGULARIZATION, coarse=coarse)
        coefficients, intercepts = of_all_labels(model, n_labels)
        coefficients = coefficients @ pca.components_
        return cls(coefficients.astype(np.float32), intercepts - coefficients @ pca.mean_)
