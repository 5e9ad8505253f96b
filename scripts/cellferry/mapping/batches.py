"""Batches of a query beside those of a model."""

from collections.abc import Iterable

import numpy as np

from ..artifacts.h5ad_reader import H5adReader


def new_batches(query: H5adReader, known: Iterable[str]) -> list[str]:
    """Batches of a query's cells that are not among the `known` ones of a model."""
    batches = query.categories("batch")[np.unique(query.codes("batch"))]
    return sorted(set(batches).difference(known))
