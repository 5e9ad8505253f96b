"""Accuracy of other tools on the pairs of the accuracy benchmark.

Measured once, by hand, with one seed, on the same files: trained on all cells of the reference (the workflow
holds out a part of them), 2,000 variable genes of the shared ones. Accuracy over cells whose label the
reference has.
"""

PAIRS = (
    "PBMC 3k → Symphony",
    "PBMC 3k → Kang ctrl",
    "PBMC 3k → Kang stim",
    "Kang ctrl → Kang stim",
    "Symphony 3' → 5'",
    "CEL-seq2 → Drop-seq",
)

_TOOLS = {
    "CellTypist 1.7": (0.863, 0.839, 0.656, 0.916, 0.958, 0.990),
    "Seurat 4.3, PCA transfer": (0.879, 0.877, 0.757, 0.819, 0.951, 1),
    "Seurat 4.3, CCA transfer": (0.877, 0.845, 0.818, 0.908, 0.944, 0.748),
    "scANVI and surgery": (0.876, 0.868, 0.706, 0.809, 0.977, 1),
    "SingleR": (0.864, 0.879, 0.799, 0.840, 0.944, 1),
    "MapMyCells, flat": (0.883, 0.904, 0.785, 0.902, 0.935, 0.986),
}
_METHODS = {
    "PCA, logistic regression": (0.869, 0.896, 0.824, 0.860, 0.930, 1),
    "PCA, neighbors": (0.864, 0.881, 0.746, 0.767, 0.944, 1),
    "scVI of 200 epochs, XGBoost": (0.856, 0.860, 0.289, 0.841, 0.949, 0.990),
    "scVI of 200 epochs, neighbors": (0.868, 0.884, 0.713, 0.831, 0.949, 1),
    "scVI, XGBoost as it comes": (0.860, 0.777, 0.368, 0.805, 0.949, 1),
    "scVI, XGBoost as scTab sets it": (0.865, 0.809, 0.387, 0.804, 0.965, 0.995),
    "scVI, logistic regression": (0.873, 0.824, 0.758, 0.870, 0.967, 0.995),
    "scVI, neighbors": (0.881, 0.833, 0.716, 0.830, 0.951, 1),
    "mean of three: LR and neighbors on scVI, LR on expression": (0.872, 0.912, 0.835, 0.880, 0.974, 1),
    "mean of four: and LR z-scored on the query": (0.871, 0.920, 0.864, 0.900, 0.972, 1),
}

TOOLS = {name: dict(zip(PAIRS, values, strict=True)) for name, values in _TOOLS.items()}
METHODS = {name: dict(zip(PAIRS, values, strict=True)) for name, values in _METHODS.items()}

AUROC_OF_B_CELLS = {
    "CellTypist": 0.82,
    "Seurat's mapping score": 0.998,
    "SingleR": 0.97,
    "correlation of MapMyCells": 0.965,
    "scANVI": 0.94,
    "highest probability of XGBoost on scVI": 0.94,
    "Mahalanobis' distance per label on scVI": 0.98,
    "distance of neighbors on scVI": 0.98,
    "the same over the local density": 0.996,
}
"""AUROC of B cells, taken out of PBMC 3k, against the other cells of Symphony."""
