"""The tables of a query's genes: genes behind its labels, and shifted genes."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..artifacts.anndata_elements import read_frame
from ..artifacts.counting import count_by
from ..artifacts.expression_sums import REFERENCE_SUMS, ExpressionSums
from ..artifacts.h5ad_reader import H5adReader
from ..artifacts.json_files import read_artifact
from ..artifacts.labels import ClassifierLabels
from ..artifacts.latents import blocks
from ..core.atomic import complete
from ..cytometry.marker_names import BACKBONE
from ..features.gene_ids import read_gene_table, symbols_beside
from ..features.subset import MEASURED
from ..heads.expression import ExpressionHead
from ..heads.expression_pca import ExpressionPcaHead
from ..labels.vocabulary import LOW_QUALITY
from ..resources.budget import Budget
from ..resources.memory import MEMORY_MODELS, sums_mb
from .label_genes import GENE_COLUMNS, SHIFT_COLUMNS, Genes, label_gene_rows, runners_up, shifted_gene_rows

LINEAR = {"expression": ExpressionHead, "expression_pca": ExpressionPcaHead}
"""Linear models on expression; the first trained one explains labels."""


@dataclass(frozen=True)
class GeneTables:
    """Files of the tables of genes.

    Parameters
    ----------
    sums
        The chunks' sums of expression, as predict_labels wrote them.
    names
        The query's merged file, whose var may have symbols beside Ensembl ids; it may be missing.
    gene_map
        Two-column table of Ensembl ids and symbols, or None.
    label_genes, shifted_genes
        Tables to write (tsv); docs/outputs.md lists their columns.
    """

    sums: list[str]
    names: str
    gene_map: str | None
    label_genes: str
    shifted_genes: str

    def write(self, predictions: list[str], cells: H5adReader, classifier: str, *, budget: Budget) -> None:
        """Write both tables; the log gives the reason for an empty one.

        Parameters
        ----------
        predictions
            The chunks' predictions.
        cells
            Expression of the query.
        classifier
            Folder of the classifiers.
        budget
            Memory of the job.

        Raises
        ------
        RuntimeError
            If the sums are not those of the predictions' cells.
        """
        known = read_artifact(ClassifierLabels, Path(classifier) / "labels.json")
        labels, path = known.hierarchy.leaves, Path(classifier) / REFERENCE_SUMS
        reference = ExpressionSums.load(path) if path.exists() else None
        head = next((name for name in LINEAR if name in known.heads), None)
        speaking, shifted = [], []
        if reference is None:
            print("genes of labels: none, since the classifiers hold no expression of the reference's cells")
        else:
            n_genes = cells.n_genes
            more_mb = 2 * sums_mb(n_labels=len(labels), n_genes=n_genes)
            budget.require(MEMORY_MODELS["gather_predictions"], cells=cells.n_cells, more_mb=more_mb)
            query = self._summed(labels, n_genes)
            seconds = _seconds(predictions)
            _check(query, seconds, self.sums)
            genes = self._genes(cells)
            shifted = shifted_gene_rows(query, reference, labels, genes)
            if head is None:
                print("genes for labels: none, since no linear model on expression was trained")
            else:
                model = LINEAR[head].load(Path(classifier))
                speaking = label_gene_rows(query, reference, model, labels, runners_up(seconds), genes)
        _write(self.label_genes, GENE_COLUMNS, speaking)
        _write(self.shifted_genes, SHIFT_COLUMNS, shifted)

    def _summed(self, labels: list[str], n_genes: int) -> ExpressionSums:
        """Sums of all chunks."""
        query = ExpressionSums(labels, n_genes)
        for path in self.sums:
            query.add_sums(ExpressionSums.load(path))
        return query

    def _genes(self, cells: H5adReader) -> Genes:
        """The genes; the reference's sums cover the backbone's markers only."""
        usable = np.ones(cells.n_genes, dtype=bool)
        for column in (MEASURED, BACKBONE):
            if column in cells.var:
                usable &= cells.var[column].to_numpy(dtype=bool)
        names, var = cells.var.index.astype(str).tolist(), None
        if Path(self.names).exists():
            # Its genes are in the file itself: chunks behind the view may have been deleted.
            with h5py.File(self.names, "r", locking=False) as merged:
                var = read_frame(merged["var"])
        table = read_gene_table(self.gene_map) if self.gene_map else None
        return Genes(names, symbols_beside(names, var, table), usable)


def _seconds(predictions: list[str]) -> Counter[tuple[str, str]]:
    """Cells by best label and runner-up, without cells of low quality."""
    keys = ["best_label", "runner_up", "reason"]
    cells: Counter[tuple[str, str]] = Counter()
    for row in count_by(blocks(predictions, keys), keys):
        if row["reason"] != LOW_QUALITY:
            cells[row["best_label"], row["runner_up"]] += row["cells"]
    return cells


def _check(query: ExpressionSums, seconds: Counter[tuple[str, str]], sums: list[str]) -> None:
    """Compare summed with predicted cells."""
    predicted: Counter[str] = Counter()
    for (label, _), n in seconds.items():
        predicted[label] += n
    for label, n in zip(query.labels, query.cells.tolist(), strict=True):
        if n != predicted[label]:
            raise RuntimeError(
                f"{sums[0]} and those beside it are sums of {n} cells with the best label '{label}', and "
                f"{predicted[label]} were predicted; delete the folder {Path(sums[0]).parent} and run "
                "snakemake again"
            )


def _write(path: str, columns: tuple[str, ...], rows: Iterable[dict]) -> None:
    """Write a table; numbers with four digits."""
    with complete(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
            )
