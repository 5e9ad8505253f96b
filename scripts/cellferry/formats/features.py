"""Features of 10x matrices: which of them are genes, and of which genome."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from .interface import Options

GENE_EXPRESSION = "Gene Expression"


def kept_features(path: Path, features: pd.DataFrame, options: Options) -> np.ndarray:
    """Positions of the features that are genes of the chosen genome.

    Parameters
    ----------
    path
        The file, for messages.
    features
        One row per feature; the columns `feature_types` and `genome` count where they are present.
    options
        Its `genome` must be set where genes of several genomes are in the file.

    Raises
    ------
    InputError
        If there are no genes, or the genome is not chosen or not there.
    """
    kept = np.ones(len(features), dtype=bool)
    if "feature_types" in features and len(features):
        kept = (features["feature_types"] == GENE_EXPRESSION).to_numpy()
        if not kept.any():
            raise InputError(
                f"{path}: holds no '{GENE_EXPRESSION}' features, only {_listed(features['feature_types'])}; "
                "name the file with the genes"
            )
    if "genome" in features:
        genomes = list(dict.fromkeys(features["genome"][kept]))
        if options.genome is not None and options.genome not in genomes:
            raise InputError(
                f"{path}: {options.key('genome')} is '{options.genome}', and the file holds "
                f"{', '.join(genomes)}; set it to one of them"
            )
        if options.genome is None and len(genomes) > 1:
            raise InputError(
                f"{path}: holds genes of {len(genomes)} genomes, {', '.join(genomes)}; "
                f"set {options.key('genome')} to one of them"
            )
        if options.genome is not None:
            kept = kept & (features["genome"] == options.genome).to_numpy()
    return np.flatnonzero(kept)


def _listed(values: pd.Series) -> str:
    return ", ".join(f"'{value}'" for value in dict.fromkeys(values))


def select_columns(counts: sparse.csr_matrix, kept: np.ndarray) -> sparse.csr_matrix:
    """The kept columns of a block; the block itself if these are all."""
    return counts if len(kept) == counts.shape[1] else counts[:, kept]
