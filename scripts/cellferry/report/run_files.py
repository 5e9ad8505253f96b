"""The files of a run that its report shows, and their contents."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..artifacts.evaluation import Evaluation
from ..artifacts.json_files import read_artifact
from ..artifacts.labels import ReferenceLabels
from ..labels.hierarchy import LabelHierarchy
from ..references.archive import read_identity
from .costs import read_table

REFERENCE = "reference"
"""The part that holds the cells of all references."""
NO_LABELS = ReferenceLabels({}, LabelHierarchy(), {})
"""Labels of a reference that an unfinished run has not counted."""


@dataclass(frozen=True)
class RunFiles:
    """Input files of a report. Files that an unfinished run lacks are None, or left out of their list.

    Parameters
    ----------
    evaluations, predictions
        One file per part, named `{part}.json` and `{part}.parquet`.
    mapped
        The chunks of all parts, in order, named `{part}/{chunk}.parquet`.
    inspected
        Results of inspect_dataset, one file per dataset; memory is predicted from them.
    gene_loss
        Results of estimate_missing_genes for queries that may lack genes: `{query}/gene_loss.json` each.
    common
        Counts of the queries if the model was imported: their var column `measured` marks a query's genes.
    labeled
        Labeled files of queries that may have coordinates.
    label_genes, shifted_genes
        Tables of the queries' genes, `{query}/label_genes.tsv` and `{query}/shifted_genes.tsv` each.
    raised
        Results of raise_thresholds for the queries, `{query}/raised.json` each, if configured.
    decision
        Result of calibrate_classifier.
    left_out
        Results of leave_labels_out, if configured.
    labels
        The reference's labels, as split_reference wrote them.
    datasets, genes, history
        Reports of check_datasets, select_genes and train_reference_model.
    panel
        Table of channels from compare_panels; cytometry only, else None.
    packed
        Description of a packed reference; None for others.
    label_agreement
        Labels that each of several references gives to the cells of the others; None for a single one.
    """

    evaluations: Sequence[str]
    predictions: Sequence[str]
    mapped: Sequence[str]
    inspected: Sequence[str]
    gene_loss: Sequence[str] = ()
    common: Sequence[str] = ()
    labeled: Sequence[str] = ()
    raised: Sequence[str] = ()
    label_genes: Sequence[str] = ()
    shifted_genes: Sequence[str] = ()
    decision: str | None = None
    left_out: str | None = None
    labels: str | None = None
    datasets: str | None = None
    genes: str | None = None
    history: str | None = None
    panel: str | None = None
    packed: str | None = None
    label_agreement: str | None = None

    @classmethod
    def of(cls, files: Any) -> "RunFiles":
        """The files in a script's `snakemake.input`."""
        paths = {field.name: getattr(files, field.name) for field in fields(cls)}
        one_or_none = ("panel", "packed", "label_agreement")
        return cls(**paths | {name: paths[name] or None for name in one_or_none})


@dataclass(frozen=True)
class RunSettings:
    """Configuration of the run, and folders of its tables and logs.

    Parameters
    ----------
    references, queries
        Names of the datasets; the references together are the part `reference`.
    benchmarks, logs
        Folders with the benchmark tables and the logs.
    config
        The configuration, shown at the end.
    seed
        Seed of the map.
    """

    references: list[str]
    queries: list[str]
    benchmarks: str
    logs: str
    config: dict
    seed: int

    @classmethod
    def of(cls, params: Any) -> "RunSettings":
        """The settings in a script's `snakemake.params`."""
        return cls(**{field.name: getattr(params, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class RunResults:
    """Contents of a run's files that text and figures share.

    Attributes
    ----------
    scores
        Scores by part.
    predicted
        File of predictions by query.
    mapped
        Mapped chunks by part, in the order in which the page shows the parts.
    labels
        Labels of the reference; empty if they are missing.
    history
        Loss per epoch, a row each.
    packed
        Description of a packed reference; None for others.
    """

    scores: dict[str, Evaluation]
    predicted: dict[str, str]
    mapped: dict[str, list[str]]
    labels: ReferenceLabels
    history: list[dict[str, str]]
    packed: dict[str, Any] | None

    @classmethod
    def read(cls, files: RunFiles, queries: list[str]) -> "RunResults":
        """Read the files."""
        by_part: dict[str, list[str]] = {}
        for path in files.mapped:
            by_part.setdefault(Path(path).parent.name, []).append(path)
        return cls(
            scores={Path(path).stem: read_artifact(Evaluation, path) for path in files.evaluations},
            predicted={Path(path).stem: path for path in files.predictions if Path(path).stem in queries},
            mapped={part: by_part[part] for part in [REFERENCE, *queries] if part in by_part},
            labels=read_artifact(ReferenceLabels, files.labels) if files.labels else NO_LABELS,
            history=read_table(files.history, delimiter=",") if files.history else [],
            packed=read_identity(files.packed) if files.packed else None,
        )
