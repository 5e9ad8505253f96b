"""What the configuration says about reading a dataset."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a dataset's configuration says about reading it; the defaults are the schema's.

    Attributes
    ----------
    dataset
        Its name, for messages.
    counts, counts_rounding, assay, genome, orientation, not_cells, compensate, follow_links
        The keys of these names below `datasets.NAME`.
    modality
        What is in the file: `rna` or `cytometry`.
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
        """Full name of one of the dataset's keys, as it stands in messages."""
        return f"datasets.{self.dataset}.{name}"
