"""The trained classifiers of a reference: what they make of mapped cells and their expression."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse

from ..artifacts.aligned import check_number
from ..artifacts.decision import QualityLimits
from ..artifacts.h5ad_reader import H5adReader
from ..artifacts.json_files import read_artifact
from ..artifacts.labels import ClassifierLabels
from ..artifacts.latents import ROWS_PER_GROUP, blocks, count_cells, mapping_columns, matrix, read_rows
from ..config.available_heads import CELLTYPIST
from ..core.progress import Progress
from ..features.marker_values import holds_intensities
from ..features.subset import MEASURED, TOTALS
from ..labels.hierarchy import LabelHierarchy
from ..resources.memory import CYTOVI_NEIGHBORS, MB, head_output_bytes
from .boosted_trees import XGBoostHead
from .celltypist import CelltypistHead, Measured
from .cytovi import CytoviHead
from .expression import ExpressionHead, log_normalized
from .label_distances import LabelDistances
from .neighbors import NeighborsHead
from .rare_labels import RareLabels, RareLikeness
from .reference_datasets import ReferenceDatasets
from .registry import ON_EXPRESSION, load_heads, predict


@dataclass(frozen=True)
class HeadOutputs:
    """What the classifiers say of a block of cells.

    Attributes
    ----------
    by_head
        Probabilities of each head, cells × labels; where cells are mapped in two ways, their mean.
    by_mapping
        The same of the heads on latents, by each mapping.
    distance, label_distance
        Distance to the nearest reference cells (1: as far as the farthest 1 % of held-out cells), and
        Mahalanobis' to the nearest label; of two mappings the smaller. NaN without latents.
    n_counts, n_genes
        Counts of the model's genes, and how many of these genes a cell has; infinite where that is not known,
        or nothing is counted.
    rare
        The rare label that each cell is most like; None where none is known.
    expression
        What linear models take of the cells, cells × genes (CSR float32): log1p CP10k of their counts, or
        marker values; None unless it was asked for.
    """

    by_head: dict[str, np.ndarray]
    by_mapping: tuple[dict[str, np.ndarray], ...]
    distance: np.ndarray
    label_distance: np.ndarray
    n_counts: np.ndarray
    n_genes: np.ndarray
    rare: RareLikeness | None = None
    expression: sparse.csr_matrix | None = None

    def too_few(self, limits: QualityLimits) -> np.ndarray:
        """Which cells have too few counts or genes to be labeled (mask)."""
        return limits.exceed(self.n_counts, self.n_genes)

    def of_cells(self, kept: np.ndarray) -> "HeadOutputs":
        """The same of some cells, given as a mask."""
        by_head, *by_mapping = (
            {name: values[kept] for name, values in probabilities.items()}
            for probabilities in (self.by_head, *self.by_mapping)
        )
        rest = (self.distance, self.label_distance, self.n_counts, self.n_genes)
        rare = self.rare and self.rare.of_cells(kept)
        return HeadOutputs(by_head, tuple(by_mapping), *(values[kept] for values in rest), rare)


class Without(NamedTuple):
    """What the classifiers would say of cells without one of the labels; see `HeadOutputs`."""

    hierarchy: LabelHierarchy
    by_head: dict[str, np.ndarray]
    distance: np.ndarray
    label_distance: np.ndarray


class Classifier:
    """What train_classifier wrote.

    Attributes
    ----------
    labels
        The leaves, sorted; what columns of probabilities stand for.
    hierarchy
        The labels and those above them.
    head_names
        The heads, in order.
    ontology
        Ontology ids of those labels that have one, coarser ones included.
    rare_labels
        Labels of too few cells to be among these that cells are compared with.
    reference_datasets
        Distances to each of several reference datasets; None of one.
    """

    def __init__(self, folder: str | Path, *, threads: int) -> None:
        known = read_artifact(ClassifierLabels, Path(folder) / "labels.json")
        self.hierarchy, self.labels = known.hierarchy, known.hierarchy.leaves
        self.head_names, self.ontology = known.heads, known.ontology
        # Heads that ask neighbors share one search, and one copy of the reference's cells.
        others = [name for name in self.head_names if name not in ("neighbors", "cytovi", CELLTYPIST)]
        self._heads = load_heads(folder, others, threads=threads)
        self._celltypist = CelltypistHead.load(Path(folder)) if CELLTYPIST in self.head_names else None
        self._nearest = self._distances = self.reference_datasets = None
        if not self._celltypist:  # which comes alone, without latents of any cells
            n_searched = CYTOVI_NEIGHBORS if "cytovi" in self.head_names else 0
            self._nearest = NeighborsHead.load(Path(folder), n_searched=n_searched)
            self.reference_datasets = ReferenceDatasets.load(Path(folder), self._nearest.latents)
            self._distances = LabelDistances.load(Path(folder))
        self._rare = RareLabels.load(Path(folder))
        self.rare_labels = self._rare.names if self._rare else []
        self._tree_bytes = sum(each.nbytes for each in self._heads.values() if isinstance(each, XGBoostHead))

    def drop_label(
        self, code: int, by_head: dict[str, np.ndarray], latents: Sequence[np.ndarray]
    ) -> "Without":
        """Outputs for cells if a label were not in the reference.

        A classifier's probabilities given that the label is out of the question are those of the others,
        over their sum; the vote of neighbors and the distances are taken anew. The latent space is still
        the one that the label's cells helped to train.

        Parameters
        ----------
        code
            The label.
        by_head, latents
            Of the cells, as `predict_block` takes and returns them.
        """
        by_remaining = {name: _given_others(values, code) for name, values in by_head.items()}
        nearest, distances = self._nearest.drop_label(code), self._distances.drop_label(code)
        by_votes, to_neighbors, to_labels = [], [], []
        for each in latents:
            votes, distance = self._votes(nearest, each)
            by_votes.append({name: values for name, values in votes.items() if name in by_remaining})
            to_neighbors.append(distance)
            to_labels.append(distances.nearest(each))
        return Without(
            self.hierarchy.drop_label(self.labels[code]),
            by_remaining | _mean_of(by_votes),
            np.minimum.reduce(to_neighbors),
            np.minimum.reduce(to_labels),
        )

    @property
    def looks_at_latents(self) -> bool:
        """Whether any head does; the others look at expression alone."""
        return not set(self.head_names).issubset([*ON_EXPRESSION, CELLTYPIST])

    @property
    def held_mb(self) -> int:
        """Memory of the reference's cells and of searching them, of trees, and of CellTypist's arrays."""
        cells = 3 * self._nearest.latents.nbytes if self._nearest else 0
        others = (each.held_bytes for each in (self.reference_datasets, self._celltypist) if each)
        return (cells + self._tree_bytes + sum(others)) // MB

    def rows_in(self, max_bytes: int, cells: H5adReader | None) -> int:
        """Cells of a block whose probabilities, neighbors, latents and values take at most `max_bytes`."""
        cell = head_output_bytes(
            n_labels=len(self.labels),
            n_heads=len(self.head_names),
            neighbors=self._nearest.n_searched if self._nearest else 0,
            n_latent=self._nearest.latents.shape[1] if self._nearest else 0,
            values=cells.nonzeros / max(1, cells.n_cells) if cells else 0,
            n_rare=len(self.rare_labels),
        )
        return int(np.clip(max_bytes // cell, 256, ROWS_PER_GROUP))

    def predict_block(
        self,
        latents: Sequence[np.ndarray],
        expression: sparse.csr_matrix | None,
        *,
        intensities: bool,
        measured: Measured | None = None,
        keep_expression: bool = False,
    ) -> HeadOutputs:
        """Outputs of the heads, and distances, for cells.

        Parameters
        ----------
        latents
            Of the cells, by each mapping.
        expression
            Their raw counts (cells × genes) or marker values; may be None where no head takes them.
        intensities
            Whether these are marker values, which say nothing of a cell's quality.
        measured
            What the cells were measured by, for the head that takes it.
        keep_expression
            Whether the outputs hold what linear models take of the cells.
        """
        on_expression = {name: head for name, head in self._heads.items() if name in ON_EXPRESSION}
        on_latents = {name: head for name, head in self._heads.items() if name not in ON_EXPRESSION}
        by_mapping, distances = [], []
        for each in latents:
            votes, distance = self._votes(self._nearest, each)
            answers = predict(on_latents, each, None) | votes
            by_mapping.append({name: answers[name] for name in self.head_names if name in answers})
            distances.append(distance)
        to_labels = [self._distances.nearest(each) for each in latents] if self._distances else distances
        counted = expression is not None and not intensities
        linear = any(isinstance(head, ExpressionHead) for head in on_expression.values())
        # Once, for all heads that take it, and for whoever looks at the genes of a label.
        normalized = log_normalized(expression) if counted and (linear or keep_expression) else expression
        by_head = predict(on_expression, latents[0], expression, normalized) | _mean_of(by_mapping)
        if self._celltypist:
            by_head[CELLTYPIST] = self._celltypist.probabilities(expression, measured)
        not_known = np.full(len(latents[0]), np.inf)
        return HeadOutputs(
            {name: by_head[name] for name in self.head_names},
            tuple(by_mapping),
            np.minimum.reduce(distances),
            np.minimum.reduce(to_labels),
            np.asarray(expression.sum(axis=1)).ravel() if counted else not_known,
            np.diff(expression.indptr) if counted else not_known,
            self._rare.likeness(expression) if self._rare else None,
            normalized if keep_expression else None,
        )

    def _votes(
        self, cells: NeighborsHead | None, latents: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Probabilities of the heads that use neighbors, and the distance to these; all by one search."""
        if cells is None:
            return {}, np.full(len(latents), np.nan, dtype=np.float32)
        rows, distances = cells.search(latents)
        votes, distance = cells.vote_of(rows, distances)
        by_head = {"neighbors": votes}
        if "cytovi" in self.head_names:
            by_head["cytovi"] = CytoviHead(cells).shares(rows)
        return by_head, distance

    def _measured(self, cells: H5adReader, rows: np.ndarray) -> Measured | None:
        """What the cells of a part in some rows (ascending) were measured by, where a head takes it."""
        if not self._celltypist:
            return None
        first, end = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
        totals = cells.obs(TOTALS, first, end)[rows - first]
        return Measured(totals, cells.var[MEASURED].to_numpy(dtype=bool))

    def predict_rows(
        self, mapped: list[str], common: H5adReader, drawn: np.ndarray, *, rows: int
    ) -> Iterator[HeadOutputs]:
        """Outputs of the heads for drawn cells, block by block.

        Parameters
        ----------
        mapped
            Files of all mapped cells, in order.
        common
            Expression of the same cells.
        drawn
            Rows of the cells, ascending.
        rows
            Cells of a block at most.

        Raises
        ------
        RuntimeError
            If `common` has another number of cells than were mapped.
        """
        check_number(common, count_cells(mapped))
        mappings = mapping_columns(mapped)
        # A table without any column would have no rows.
        table = read_rows(mapped, list(chain(*mappings)) or ["batch"], drawn)
        intensities = holds_intensities(common)
        for start in range(0, len(drawn), rows):
            latents = [matrix(table.slice(start, rows), names) for names in mappings]
            some = drawn[start : start + rows]
            expression, measured = common.rows(some), self._measured(common, some)
            yield self.predict_block(latents, expression, intensities=intensities, measured=measured)

    def iter_predictions(
        self,
        mapped: list[str],
        common: H5adReader | None,
        columns: list[str],
        *,
        first: int,
        rows: int,
        keep_expression: bool = False,
    ) -> Iterator[tuple[pa.RecordBatch, HeadOutputs]]:
        """Mapped cells block by block: their columns, and the outputs of the heads.

        The log tells how far that is.

        Parameters
        ----------
        mapped
            Files of mapped cells, in order.
        common
            Expression of a part; the first mapped cell is its cell number `first`. None where there is none.
        columns
            Columns of the mapped file to pass on.
        rows
            Cells of a block at most.
        keep_expression
            See `predict_block`.

        Raises
        ------
        RuntimeError
            If the part has fewer cells than were mapped.
        """
        mappings = mapping_columns(mapped)
        intensities = common is not None and holds_intensities(common)
        start, progress = first, Progress("classified", count_cells(mapped))
        for block in blocks(mapped, [*columns, *chain(*mappings)], rows=rows):
            stop = start + len(block)
            if common and stop > common.n_cells:
                raise RuntimeError(
                    f"{common.path}: has {common.n_cells} cells, fewer than were mapped; delete the folder "
                    f"{Path(mapped[0]).parent} and run snakemake again"
                )
            expression = common.counts(start, stop) if common else None
            latents = [matrix(block, latent_names) for latent_names in mappings]
            measured = self._measured(common, np.arange(start, stop)) if common else None
            outputs = self.predict_block(
                latents,
                expression,
                intensities=intensities,
                measured=measured,
                keep_expression=keep_expression,
            )
            yield block, outputs
            progress.add(stop - start)
            start = stop


def _mean_of(by_mapping: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Mean probabilities of one or two mappings, by head."""
    first, *others = by_mapping
    return {name: sum((each[name] for each in others), first[name]) / len(by_mapping) for name in first}


def _given_others(probabilities: np.ndarray, code: int) -> np.ndarray:
    """Probabilities of the other labels, given that it is one of them; even where all are 0."""
    others = np.delete(probabilities, code, axis=1)
    sums = others.sum(axis=1, keepdims=True)
    return np.where(sums > 0, others / np.where(sums > 0, sums, 1), np.float32(1 / others.shape[1]))
