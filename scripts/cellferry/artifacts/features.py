"""Summary of the model's genes or markers, written by select_genes and select_markers."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from ..cytometry.value_kind import ValueKind


@dataclass(frozen=True)
class DatasetFeatures:
    """Genes or markers of a dataset, and how many of them the model has.

    Attributes
    ----------
    column
        The var column with the ids in use, or `index`.
    genes
        Genes or channels of the file.
    harmonized
        Different ids among them, in the namespace of the model.
    duplicates_summed
        Genes with the id of another one, to which their counts are added.
    untranslated
        Genes without an id in the namespace.
    common
        Genes that all compared datasets have.
    common_share
        These as a share of the dataset's own, or of the reference's where it has fewer.
    counts_in_selected
        Share of the counts in the model's genes; None with markers.
    in_model
        Markers of the model; None with genes.
    """

    column: str
    genes: int
    harmonized: int
    duplicates_summed: int
    untranslated: int
    common: int
    common_share: float
    counts_in_selected: float | None = None
    in_model: int | None = None


@dataclass(frozen=True, kw_only=True)
class Features:
    """Genes or markers of the model.

    Attributes
    ----------
    namespace
        `ensembl`, `symbol`, `other` or `marker`.
    n_common
        Genes or backbone markers that all compared datasets have; None for genes of an imported model.
    n_selected
        Genes or markers of the model.
    sketch_cells
        Cells that the choice was made on; None for an imported model.
    datasets
        Features of each compared dataset, by name; empty for an imported model.
    values
        Kind of values of each dataset that the transformation was fitted on, by name; None with genes.
    transformation
        See `cellferry.cytometry.transformation.Transformation.to_json`; None with genes.
    """

    VERSION: ClassVar[int] = 1

    namespace: str
    n_common: int | None = None
    n_selected: int
    sketch_cells: int | None = None
    datasets: dict[str, DatasetFeatures] = field(default_factory=dict)
    values: dict[str, ValueKind] | None = None
    transformation: dict[str, Any] | None = None

    def as_table(self) -> dict[str, Any]:
        """Numbers that apply, by name, and below `datasets` those of each dataset; without missing ones."""
        whole = {key: value for key, value in asdict(self).items() if value is not None}
        datasets = {
            name: {key: value for key, value in numbers.items() if value is not None}
            for name, numbers in whole["datasets"].items()
        }
        return whole | {"datasets": datasets}
