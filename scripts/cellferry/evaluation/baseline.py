"""The simple baseline for comparison: PCA and logistic regression on expression."""

from collections.abc import Collection

import numpy as np
from scipy import sparse
from scipy.special import bdtr
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from ..artifacts.h5ad_reader import H5adReader
from ..features.marker_values import holds_intensities, marker_values
from ..heads.expression import log_normalized
from ..resources.memory import baseline_cap
from ..sampling.sketch import stratified_sketch

COMPONENTS = 50


class Baseline:
    """PCA (50 components) of the expression, logistic regression with balanced labels.

    Parameters
    ----------
    expression
        Expression of the reference's cells, see `expression_of`: cells × genes, CSR.
    labels
        Their labels.
    seed
        Seed of the PCA.
    """

    def __init__(self, expression: sparse.csr_matrix, labels: np.ndarray, *, seed: int) -> None:
        n_components = min(COMPONENTS, min(expression.shape) - 1)
        # ARPACK centers implicitly, so the expression stays sparse.
        self._pca = PCA(n_components, svd_solver="arpack", random_state=seed).fit(expression)
        components = self._pca.transform(expression)
        self._model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(components, labels)

    def predict(self, expression: sparse.csr_matrix) -> np.ndarray:
        """Labels of cells, from their expression (cells × genes, CSR), as an object array of str."""
        if expression.shape[0] == 0:
            return np.empty(0, dtype=object)
        return self._model.predict(self._pca.transform(expression)).astype(object)


def expression_of(cells: H5adReader, rows: np.ndarray) -> sparse.csr_matrix:
    """Input of the baseline for some rows: log1p CP10k of counts, or marker values of the backbone."""
    if holds_intensities(cells):
        return sparse.csr_matrix(marker_values(cells, rows))
    return log_normalized(cells.rows(rows))


def train_baseline(reference: H5adReader, *, seed: int, left_out: Collection[str] = ()) -> Baseline:
    """Train on a sketch of the reference, drawn evenly over labels and batches.

    Cells with a label of `left_out` are not used.
    """
    batches = reference.codes("batch") if "batch" in reference.obs_columns else None
    cap = baseline_cap(n_labels=len(reference.categories("label")))
    codes = reference.codes("label")
    if left_out:
        codes = np.where(np.isin(reference.categories("label"), list(left_out))[codes], -1, codes)
    rows = stratified_sketch(codes, cap, seed=seed, within=batches)
    names = np.append(reference.categories("label"), None)[codes[rows]]
    print(f"the baseline is trained on {len(rows)} of the reference's {reference.n_cells} training cells")
    return Baseline(expression_of(reference, rows), names, seed=seed)


def sign_test(first: int, second: int) -> float:
    """Probability of a difference at least as large between two methods that are equally often right.

    Two-sided and exact (McNemar 1947). It counts cells as independent; those of one donor are not, so it is
    too small if methods differ by donor.

    Parameters
    ----------
    first, second
        Number of cells that only the first, and only the second method gets right.
    """
    return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))
