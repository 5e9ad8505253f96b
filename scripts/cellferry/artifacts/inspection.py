"""The inspection of a dataset, `results/inspected/{dataset}.json`: the content of its file, and problems."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ..cytometry.marker_names import MARKER
from ..cytometry.value_kind import ValueKind
from ..errors import InputError
from ..labels.hierarchy import LabelHierarchy
from .json_files import read_artifact


@dataclass(frozen=True)
class InspectedChannel:
    """A channel of a cytometry file.

    Attributes
    ----------
    name
        Its name in all results.
    kind
        `marker`, or the kind of another channel, such as `time`.
    channel
        Its name in the file.
    """

    name: str
    kind: str
    channel: str


@dataclass(frozen=True)
class InspectedRounding:
    """The effect of rounding on the first cells.

    Attributes
    ----------
    cells
        Their number.
    before, after
        Total of their counts.
    """

    cells: int
    before: float
    after: float


@dataclass(frozen=True)
class InspectedControls:
    """The control features of a panel, which are left out, in the first cells.

    Attributes
    ----------
    kinds
        Number of them by kind, in the file that has most.
    cells
        Number of the first cells.
    counts, of_genes
        Their counts of controls, and of genes.
    """

    kinds: dict[str, int]
    cells: int
    counts: float
    of_genes: float

    @property
    def share(self) -> float | None:
        """Share of controls among these counts; None without counts."""
        total = self.counts + self.of_genes
        return self.counts / total if total else None

    def __str__(self) -> str:
        listed = ", ".join(f"{kind}: {n}" for kind, n in self.kinds.items())
        sentence = f"{sum(self.kinds.values())} control features are left out ({listed})"
        if self.share is None:
            return sentence
        return f"{sentence}: {self.share:.2%} of the counts of the first {self.cells:,} cells"


@dataclass(frozen=True)
class InspectedCoordinates:
    """The coordinates of kept cells.

    Attributes
    ----------
    source
        The place that they are read from.
    cells
        Cells with coordinates.
    missing
        Cells without.
    repeated
        Cells at the place of an earlier cell of the same file.
    """

    source: str
    cells: int
    missing: int
    repeated: int


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The content of a dataset's file, without reading all counts.

    A field keeps its default if a problem prevents its detection.

    Attributes
    ----------
    dataset, role, path
        The dataset's name, and these of its configuration keys.
    made_from
        Hash of all inputs of the inspection.
    files
        State of its files and tables, by path (`core.reading.state_of`).
    format
        The file format's name in the registry.
    cells, genes
        Shape of the counts in the file: all cells, genes or channels.
    held_mb
        MB of memory for reading, besides the blocks.
    nonzeros
        Number of stored values; None if the header does not give it.
    dtype, storage
        Type of the stored values, and their layout, see `cellferry.formats.interface.Header`.
    counts
        The place of the counts; None if the file has no matrix.
    places
        Possible places of the counts, and whether their first values look like counts.
    gene_id
        Kind of the genes' names: `ensembl`, `symbol`, or `other`.
    gene_id_columns
        The same by further column of the genes.
    gene_names
        The genes' names (`index`), and further columns that may hold ids or symbols, each as lines of a text.
        A missing value is an empty line. Empty with cytometry.
    duplicated_genes
        Number of genes with the name of an earlier gene.
    obs_columns
        Annotation columns of the file and its tables.
    named
        By configuration key: its names, and whether the dataset has them.
    cells_kept
        Number of cells that the filter keeps; the labels and batches are those of kept cells.
    starts
        First cells of the chunks, and the end of the last one, counted in all cells.
    duplicated_cells
        Number of cells with the name of an earlier cell.
    label, batch
        The obs columns of these keys.
    labels, n_labels
        Cells by label, the most frequent first, and the number of labels.
    unlabeled_cells
        Number of cells without a label.
    hierarchy
        The labels and the coarser ones above them.
    batches
        Cells by batch, the largest first, limited to the first ones.
    n_batches
        Number of batches.
    values_per_cell
        Stored values per cell, by the header or in the first cells.
    rounding
        The effect of rounding on the first cells; None where counts are not rounded.
    controls
        Control features; None without any.
    coordinates
        Coordinates of the cells; None without any, or for a reference.
    channels
        Channels of a cytometry file; empty for counts.
    intensities
        The kind of the markers' values; None for counts.
    in_order
        Whether the first cells' counts are available without reading all of a file.
    problems, warnings
        Sentences on errors, and on possible errors.
    """

    VERSION: ClassVar[int] = 4

    dataset: str
    role: str
    path: str | list[str] | dict[str, str]
    made_from: str = ""
    files: dict[str, str] = field(default_factory=dict)
    format: str = ""
    cells: int = 0
    genes: int = 0
    held_mb: int = 0
    nonzeros: int | None = None
    dtype: str = ""
    storage: str = ""
    counts: str | None = None
    places: dict[str, bool] = field(default_factory=dict)
    gene_id: str = ""
    gene_id_columns: dict[str, str] = field(default_factory=dict)
    gene_names: dict[str, str] = field(default_factory=dict)
    duplicated_genes: int = 0
    obs_columns: list[str] = field(default_factory=list)
    named: dict[str, dict[str, bool]] = field(default_factory=dict)
    cells_kept: int = 0
    starts: list[int] = field(default_factory=list)
    duplicated_cells: int = 0
    label: str | None = None
    n_labels: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    unlabeled_cells: int = 0
    hierarchy: LabelHierarchy = field(default_factory=LabelHierarchy)
    batch: str | None = None
    n_batches: int = 1
    batches: dict[str, int] = field(default_factory=dict)
    values_per_cell: float = 0.0
    rounding: InspectedRounding | None = None
    controls: InspectedControls | None = None
    coordinates: InspectedCoordinates | None = None
    channels: list[InspectedChannel] = field(default_factory=list)
    intensities: ValueKind | None = None
    in_order: bool = True
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def markers(self) -> list[str]:
        """Names of the channels that are markers."""
        return [channel.name for channel in self.channels if channel.kind == MARKER]


def with_problems(paths: Iterable[str]) -> list[str]:
    """Those of the files that exist and hold an inspection with problems."""
    return [path for path in paths if Path(path).exists() and _has_problems(path)]


def _has_problems(path: str) -> bool:
    try:
        return bool(read_artifact(Inspection, path).problems)
    except (OSError, InputError):  # reported by check_datasets
        return False
