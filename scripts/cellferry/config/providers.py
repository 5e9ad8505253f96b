"""Where rules find a reference and what a modality adds: one object each, in place of flags in the rules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runs.literal_paths import masked


@dataclass(frozen=True)
class Reference:
    """The reference's model with its results: trained here, of an earlier run, or imported.

    Parameters
    ----------
    folder
        Folder of its results: `results`, or that of an earlier run.
    has_counts
        Whether counts of its cells are there; an imported model comes with latents only.
    is_pretrained
        Whether its model was trained before this run.
    """

    folder: str
    has_counts: bool
    is_pretrained: bool

    @property
    def is_of_this_run(self) -> bool:
        """Whether jobs of this run make its results."""
        return self.folder == "results"

    def file(self, path: str) -> str:
        """A file or folder of its results."""
        return f"{self.folder}/{path}"

    def counts(self, path: str) -> str | list[str]:
        """A file with counts of its cells, or made from them; an empty list where there are none."""
        return self.file(path) if self.has_counts else []

    def trained_before(self, path: str) -> str | list[str]:
        """A file of a model that was trained before this run; an empty list where this run trains it."""
        return self.file(path) if self.is_pretrained else []


def reference_of(config: dict[str, Any]) -> Reference:
    """The reference of a configuration with its defaults."""
    pretrained = config["pretrained"]
    if isinstance(pretrained, dict):
        return Reference("results", has_counts=False, is_pretrained=True)
    return Reference(
        masked(Path(pretrained or "results")), has_counts=True, is_pretrained=pretrained is not None
    )


@dataclass(frozen=True)
class Modality:
    """What the datasets hold.

    Parameters
    ----------
    name
        `rna` or `cytometry`.
    """

    name: str

    @property
    def has_intensities(self) -> bool:
        """Whether values are intensities of markers, not counts of genes."""
        return self.name == "cytometry"

    def with_intensities(self, files: Any) -> Any:
        """Files that only intensities need; an empty list with counts."""
        return files if self.has_intensities else []
