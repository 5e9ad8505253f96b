"""A linear model on principal components of expression, beside the one on z-scored genes.

Z-scores give every gene the same weight, those that hardly vary too. Components are of what genes have in
common, and the strongly expressed ones weigh more in them: where z-scores take up noise they hold, and where
a query's strong genes are shifted they err.
"""

import numpy as np
from scipy import sparse

from ..config.available_heads import MANY_LABELS
from .discriminants import discriminants
from .expression import ExpressionHead, log_normalized
from .marginal import CoarseCells
from .shrinkage import HeldOut, of_all_labels, shrunk_regression

COMPONENTS = 50
"""As many as scanpy's `pp.pca` takes."""

REGULARIZATION = 0.1
"""scikit-learn's C without held-out cells."""


class ExpressionPcaHead(ExpressionHead):
    """Multinomial logistic regression on 50 principal components of log1p CP10k.

    Components are linear in the genes, and so is the model: it is held by coefficients of genes. Of very many
    labels linear discriminants take the regression's place, and are held by axes in the genes.
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

        `coarse` are further cells, with a coarser label; components are of the others.
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
