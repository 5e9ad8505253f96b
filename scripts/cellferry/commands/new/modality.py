"""The modality of files without a configuration: counts of genes, or intensities of markers.

Marker names are also gene names (CD4, CD19), gene panels can be as small as marker panels, and both have
zeros. So several criteria are checked, the clearest first; see `kind_of`.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...cytometry.channels import channel_kind
from ...cytometry.marker_names import is_named_after_metal, marker_name
from ...datasets.count_inspection import first_block
from ...datasets.dataset import Dataset
from ...datasets.inspection import gene_id_kind
from ...datasets.rounding import sign_in_cells
from ...errors import InputError
from ...formats import Block

MAX_MARKERS = 500
"""More markers than any panel has, even one combined from many stainings."""

MAX_STAINED = 100
"""More markers than any single staining has; gene panels start at about this size."""

FIRST_CELLS = 1_000
OF_AN_INSTRUMENT = ("time", "scatter", "dna")
"""Kinds of channels of a cytometer other than markers."""

ANTIBODY = re.compile(
    r"(anti[ _-]?)?(CD\d+|HLA[ _-]?(D[PQR]|ABC)\b|Ig[ADEGKLM]|TCR|p-?(ERK|S6|AKT|STAT|p38|CREB|PLC)|Ki-67)"
)
"""Names of markers. Some genes match as well, but never half of them."""

MOST = 0.5
"""Share of names that must match, or of values that are zeros."""


class Kind(NamedTuple):
    """Modality of a dataset, and the reason.

    Attributes
    ----------
    is_cytometry
        True for intensities.
    why
        The reason as part of a message, such as `its channels are named after metals`.
    is_sure
        True with positive evidence; False if it is only not excluded.
    """

    is_cytometry: bool
    why: str
    is_sure: bool = True


def modality_of(datasets: dict[str, Dataset]) -> tuple[str, list[str]]:
    """The common modality of all datasets, and notes for the user.

    Raises
    ------
    InputError
        If only some are cytometry.
    """
    kinds = {name: kind_of(dataset) for name, dataset in datasets.items()}
    genes = {
        gene: dataset.header.path
        for name, dataset in datasets.items()
        if not kinds[name].is_cytometry
        for gene in map(str, dataset.header.var.index)
    }
    for name, kind in kinds.items():
        shared = [genes[feature] for feature in map(str, datasets[name].header.var.index) if feature in genes]
        if kind.is_cytometry and not kind.is_sure and len(shared) >= MOST * datasets[name].header.n_genes:
            kinds[name] = Kind(False, f"it shares names with {shared[0]}", is_sure=False)
    one = {kind.is_cytometry: name for name, kind in reversed(kinds.items())}
    if len(one) == 2:
        markers, rna = one[True], one[False]
        raise InputError(
            f"{datasets[markers].header.path} contains intensities of markers ({kinds[markers].why}), and "
            f"{datasets[rna].header.path} values of genes ({kinds[rna].why}); give files of one kind"
        )
    doubts = [
        f"{datasets[name].header.path}: its values are not counts, but its {datasets[name].header.n_genes} "
        f"features are treated as genes ({kind.why}); for markers of cytometry, write "
        "`modality: cytometry` above `datasets:`"
        for name, kind in kinds.items()
        if not kind.is_cytometry and not kind.is_sure
    ]
    return "cytometry" if True in one else "rna", doubts


def kind_of(dataset: Dataset) -> Kind:
    """Distinguish genes from markers; the first criterion that holds decides.

    1. The format contains intensities only: cytometry.
    2. A matrix of the file contains counts, features have Ensembl ids, or there are more features than any
       marker panel has: RNA.
    3. Channels have names of an instrument, or most features those of antibodies: cytometry.
    4. Many features of a cell have equal values, or cells have equal totals, as in normalized counts; or all
       values are counts and some are missing: RNA.
    5. There are more features than a single staining has, or most values are zeros: RNA, with a note.
    6. Otherwise: cytometry.
    """
    header = dataset.header
    if header.values == "intensities":
        return Kind(True, f"like all files of {header.format}")
    if any(header.places.values()):
        return Kind(False, "it contains counts")
    if header.n_genes > MAX_MARKERS:
        return Kind(False, f"{header.n_genes:,} features are more than a marker panel has")
    if "ensembl" in [gene_id_kind(ids.to_numpy(dtype=object)) for ids in _names(header.var)]:
        return Kind(False, "features have Ensembl ids")
    features = [str(name) for name in header.var.index]
    if any(is_named_after_metal(name) or channel_kind(name) in OF_AN_INSTRUMENT for name in features):
        return Kind(True, "channels have names of an instrument")
    if _share(features, lambda name: ANTIBODY.match(marker_name(name)) is not None) >= MOST:
        return Kind(True, "most features have names of antibodies")
    block = first_block(dataset, 0, min(header.n_cells, FIRST_CELLS)) if header.counts else None
    if block is not None and (sign := _sign_of_counts(block)):
        return Kind(False, sign)
    if header.n_genes > MAX_STAINED:
        return Kind(False, f"a single staining has at most {MAX_STAINED} markers", is_sure=False)
    if block is not None and block.counts.nnz < MOST * np.prod(block.counts.shape):
        return Kind(False, "most values are zeros", is_sure=False)
    return Kind(True, f"{header.n_genes} features, whose values are not counts", is_sure=False)


def _names(var: pd.DataFrame) -> list[pd.Index | pd.Series]:
    return [var.index, *(var[column] for column in var)]


def _sign_of_counts(block: Block) -> str | None:
    """Evidence that values were computed from counts, or are counts with missing values."""
    counts = block.counts.copy()
    missing = ~np.isfinite(counts.data)
    counts.data[missing] = 0
    if missing.any() and ((counts.data >= 0) & (counts.data == np.rint(counts.data))).all():
        return "all values that are not missing are counts"
    return sign_in_cells(counts)


def _share(names: list[str], fits: Callable[[str], bool]) -> float:
    return sum(map(fits, names)) / max(1, len(names))
