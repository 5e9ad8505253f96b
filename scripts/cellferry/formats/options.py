"""Configuration of reading a dataset."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Options:
    """Configuration of reading a dataset; the defaults are those of the schema.

    Attributes
    ----------
    dataset
        Name of the dataset, for messages.
    counts, counts_rounding, assay, genome, orientation, not_cells, compensate, follow_links
        The keys of these names in `datasets.NAME`.
    modality
        Content of the file: `rna` or `cytometry`.
    markers
        The key `cytometry.markers`.
    """

    dataset: str
    counts: str = "auto"
    counts_rounding: str = "none"
    assay: str | None = None
    genome: str | None = None
    orientation: str = "auto"
    not_cells: str | list[str] = "auto"
    compensate: bool = False
    follow_links: bool = False
    modality: str = "rna"
    markers: dict | str = field(default_factory=dict)

    def key(self, name: str) -> str:
        """Full name of one of the dataset's keys, for messages."""
        return f"datasets.{self.dataset}.{name}"
