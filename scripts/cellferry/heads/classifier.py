"""The trained classifiers of a reference, applied to mapped cells and their expression."""

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
from ..core.progress import Progress
from ..features.marker_values import holds_intensities
from ..features.subset import MEASURED, TOTALS
from ..labels.hierarchy import LabelHierarchy
from ..resources.memory import CYTOVI_NEIGHBORS, MB, head_output_bytes
from .celltypist import Measured
from .cytovi import CytoviHead
from .expression import ExpressionHead, log_normalized
from .label_distances import LabelDistances
from .neighbors import NeighborsHead
from .rare_labels import RareLabels, RareLikeness
from .reference_datasets import ReferenceDatasets
from .registry import ON_EXPRESSION, load_heads, predict


@dataclass(frozen=True)
class HeadOutputs:
    """Outputs of the classifiers for a block of cells.

    Attributes
    ----------
    by_head
        Probabilities of each head, cells × labels; the mean over two mappings.
    by_mapping
        The same of the heads on latents, by each mapping.
    distance, label_distance
        Distance to the nearest reference cells (1: the 99th percentile of held-out cells), and
        Mahalanobis distance to the nearest label; the smaller of two mappings. NaN without latents.
    n_counts, n_genes
        Counts of the model's genes, and number of these genes detected; infinite if unknown, or for
        intensities.
    rare
        The rare label that each cell is most similar to; None without rare labels.
    expression
        Input of linear models, cells × genes (CSR float32): log1p CP10k of the counts, or marker values;
        None unless requested.
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
        """Mask of cells with too few counts or genes for a label."""
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
    """Outputs of the classifiers without one of the labels; see `HeadOutputs`."""

    hierarchy: LabelHierarchy
    by_head: dict[str, np.ndarray]
    distance: np.ndarray
    label_distance: np.ndarray


class Classifier:
    """The folder of train_classifier.

    Attributes
    ----------
    labels
        The leaves, sorted, in the order of columns of probabilities.
    hierarchy
        The labels and those above them.
    head_names
        The heads, in order.
    ontology
        Ontology ids of those labels that have one, coarser ones included.
    rare_labels
        Labels of too few cells to be predicted, for comparison.
    reference_datasets
        Distances to each of several reference datasets; None with one.
    """

    def __init__(self, folder: str | Path, *, threads: int) -> None:
        known = read_artifact(ClassifierLabels, Path(folder) / "labels.json")
        self.hierarchy, self.labels = known.hierarchy, known.hierarchy.leaves
        self.head_names, self.ontology = known.heads, known.ontology
        # Heads on neighbors share one search and one copy of the reference's cells.
        others = [name for name in self.head_names if name not in ("neighbors", "cytovi")]
        self._heads = load_heads(folder, others, threads=threads)
        self._nearest = self._distances = self.reference_datasets = None
        if known.training_cells:  # an imported model of expression has no cells
            n_searched = CYTOVI_NEIGHBORS if "cytovi" in self.head_names else 0
            self._nearest = NeighborsHead.load(Path(folder), n_searched=n_searched)
            self.reference_datasets = ReferenceDatasets.load(Path(folder), self._nearest.latents)
            self._distances = LabelDistances.load(Path(folder))
        self._rare = RareLabels.load(Path(folder))
        self.rare_labels = self._rare.names if self._rare else []
        holders = (*self._heads.values(), self.reference_datasets)
        self._held_bytes = sum(getattr(each, "held_bytes", 0) for each in holders)

    def drop_label(
        self, code: int, by_head: dict[str, np.ndarray], latents: Sequence[np.ndarray]
    ) -> "Without":
        """Outputs for cells with one label left out of the reference.

        Probabilities of the other labels are divided by their sum; the vote of neighbors and the
        distances are recomputed. The latent space is unchanged: the label's cells were in its training.

        Parameters
        ----------
        code
            The label.
        by_head, latents
            Inputs and outputs of `predict_block` for the cells.
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
        """True if any head uses latents; the others use expression only."""
        return not set(self.head_names).issubset(ON_EXPRESSION)

    @property
    def held_mb(self) -> int:
        """Memory of the reference's cells and of searching them, and of heads that state what they hold."""
        cells = 3 * self._nearest.latents.nbytes if self._nearest else 0
        return (cells + self._held_bytes) // MB

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
            Latents of the cells, by mapping.
        expression
            Their raw counts (cells × genes) or marker values; may be None if no head uses them.
        intensities
            Whether these are marker values, which do not show a cell's quality.
        measured
            Total counts and measured genes, for the head that uses them.
        keep_expression
            Whether the outputs include the input of linear models.
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
        # Once for all heads on it, and for the genes of labels.
        normalized = log_normalized(expression) if counted and (linear or keep_expression) else expression
        by_head = predict(on_expression, latents[0], expression, normalized, measured) | _mean_of(by_mapping)
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
        """Probabilities of the heads on neighbors, and the distance to these, from one search."""
        if cells is None:
            return {}, np.full(len(latents), np.nan, dtype=np.float32)
        rows, distances = cells.search(latents)
        votes, distance = cells.vote_of(rows, distances)
        by_head = {"neighbors": votes}
        if "cytovi" in self.head_names:
            by_head["cytovi"] = CytoviHead(cells).shares(rows)
        return by_head, distance

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
            expression, measured = common.rows(some), _measured(common, some)
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
        """Mapped cells block by block: columns and outputs of the heads.

        Progress is printed to the log.

        Parameters
        ----------
        mapped
            Files of mapped cells, in order.
        common
            Expression of a part; the first mapped cell is its cell number `first`. None without expression.
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
            measured = _measured(common, np.arange(start, stop)) if common else None
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


def _measured(cells: H5adReader, rows: np.ndarray) -> Measured | None:
    """Total counts and measured genes of cells in ascending rows, if stored for a head."""
    if TOTALS not in cells.obs_columns:
        return None
    first, end = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
    totals = cells.obs(TOTALS, first, end)[rows - first]
    return Measured(totals, cells.var[MEASURED].to_numpy(dtype=bool))


def _mean_of(by_mapping: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Mean probabilities of one or two mappings, by head."""
    first, *others = by_mapping
    return {name: sum((each[name] for each in others), first[name]) / len(by_mapping) for name in first}


def _given_others(probabilities: np.ndarray, code: int) -> np.ndarray:
    """Probabilities of the other labels, scaled to sum to 1; uniform if all are 0."""
    others = np.delete(probabilities, code, axis=1)
    sums = others.sum(axis=1, keepdims=True)
    return np.where(sums > 0, others / np.where(sums > 0, sums, 1), np.float32(1 / others.shape[1]))
