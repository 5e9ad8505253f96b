"""The modality of files without a configuration: counts of genes, or intensities of markers.

Marker names are gene names, too (CD4, CD19), panels of genes can be as small as panels of markers, and both
have zeros. So several things are looked at, from the clearest on; see `kind_of`.
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
"""No panel has more, not even one that was put together from many stainings."""

MAX_STAINED = 100
"""Nor has one that was measured at once; panels of genes begin at about as many."""

FIRST_CELLS = 1_000
OF_AN_INSTRUMENT = ("time", "scatter", "dna")
"""Kinds of channels that a cytometer has besides markers."""

ANTIBODY = re.compile(
    r"(anti[ _-]?)?(CD\d+|HLA[ _-]?(D[PQR]|ABC)\b|Ig[ADEGKLM]|TCR|p-?(ERK|S6|AKT|STAT|p38|CREB|PLC)|Ki-67)"
)
"""How markers are called. Some genes are, too, but never half of them."""

MOST = 0.5
"""Share of names that must be so, or of values that are zeros."""


class Kind(NamedTuple):
    """What a dataset holds, and why that is thought.

    Attributes
    ----------
    is_cytometry
        Whether it holds intensities.
    why
        Part of a message, such as `its channels are named after metals`.
    is_sure
        Whether something says so, and not only nothing against it.
    """

    is_cytometry: bool
    why: str
    is_sure: bool = True


def modality_of(datasets: dict[str, Dataset]) -> tuple[str, list[str]]:
    """The modality of all datasets together, and what should be looked at.

    Raises
    ------
    InputError
        If some are of cytometry and some are not.
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
            f"{datasets[markers].header.path} holds intensities of markers ({kinds[markers].why}), and "
            f"{datasets[rna].header.path} holds values of genes ({kinds[rna].why}); give files of one kind"
        )
    doubts = [
        f"{datasets[name].header.path}: its values are no counts, but its {datasets[name].header.n_genes} "
        f"features are taken for genes ({kind.why}); if they are markers of cytometry, write "
        "`modality: cytometry` above `datasets:`"
        for name, kind in kinds.items()
        if not kind.is_cytometry and not kind.is_sure
    ]
    return "cytometry" if True in one else "rna", doubts


def kind_of(dataset: Dataset) -> Kind:
    """Tell genes from markers; the first of these that holds decides.

    1. The format holds intensities only: cytometry.
    2. Some matrix of the file holds counts, features have Ensembl ids, or there are more of them than any
       panel of markers has: RNA.
    3. Channels are named as an instrument's are, or most features as antibodies: cytometry.
    4. Equal values stand in many features of a cell, or cells add up to the same, as after normalization of
       counts; or all values are counts, and some are missing: RNA.
    5. There are more features than are stained at once, or most values are zeros: RNA, with a word of it.
    6. Cytometry otherwise.
    """
    header = dataset.header
    if header.values == "intensities":
        return Kind(True, f"as all files of {header.format}")
    if any(header.places.values()):
        return Kind(False, "there are counts in it")
    if header.n_genes > MAX_MARKERS:
        return Kind(False, f"{header.n_genes:,} are more than there are markers")
    if "ensembl" in [gene_id_kind(ids.to_numpy(dtype=object)) for ids in _names(header.var)]:
        return Kind(False, "they have Ensembl ids")
    features = [str(name) for name in header.var.index]
    if any(is_named_after_metal(name) or channel_kind(name) in OF_AN_INSTRUMENT for name in features):
        return Kind(True, "channels are named as an instrument's are")
    if _share(features, lambda name: ANTIBODY.match(marker_name(name)) is not None) >= MOST:
        return Kind(True, "most names are those of antibodies")
    block = first_block(dataset, 0, min(header.n_cells, FIRST_CELLS)) if header.counts else None
    if block is not None and (sign := _sign_of_counts(block)):
        return Kind(False, sign)
    if header.n_genes > MAX_STAINED:
        return Kind(False, f"more than {MAX_STAINED} markers are not stained at once", is_sure=False)
    if block is not None and block.counts.nnz < MOST * np.prod(block.counts.shape):
        return Kind(False, "most values are zeros", is_sure=False)
    return Kind(True, f"{header.n_genes} features whose values are no counts", is_sure=False)


def _names(var: pd.DataFrame) -> list[pd.Index | pd.Series]:
    return [var.index, *(var[column] for column in var)]


def _sign_of_counts(block: Block) -> str | None:
    """What shows that values were made from counts, or are counts of which some are missing."""
    counts = block.counts.copy()
    missing = ~np.isfinite(counts.data)
    counts.data[missing] = 0
    if missing.any() and ((counts.data >= 0) & (counts.data == np.rint(counts.data))).all():
        return "all values that are not missing are counts"
    return sign_in_cells(counts)


def _share(names: list[str], fits: Callable[[str], bool]) -> float:
    return sum(map(fits, names)) / max(1, len(names))
