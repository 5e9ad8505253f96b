"""A reference and a modality as objects, in place of flags in the rules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..references.archive import (
    AS_THEY_ARE,
    CLASSIFIER,
    GENE_NAMES,
    LATENTS,
    MANIFEST,
    MODEL,
    TEST_SCORES,
    VALIDATION,
    VALIDATION_MODEL,
    Manifest,
    is_packed,
    read_manifest,
)
from ..runs.literal_paths import masked

PACKED = "results/packed"
"""Folder of a packed reference's files."""


@dataclass(frozen=True)
class Reference:
    """The reference's model and results: trained here, from an earlier run, packed, or imported.

    Parameters
    ----------
    folder
        Folder of its results: `results`, an earlier run's, or that of a packed reference's files.
    has_counts
        True if counts of its training cells are available; an imported model has latents only.
    has_held_out
        True if counts of its held-out cells and their scores are available.
    is_pretrained
        True if its model was trained before this run.
    packed
        Description of a packed reference; None for others.
    """

    folder: str
    has_counts: bool
    has_held_out: bool
    is_pretrained: bool
    packed: Manifest | None = None

    @property
    def is_of_this_run(self) -> bool:
        """True if jobs of this run make its results."""
        return self.folder == "results"

    @property
    def is_imported(self) -> bool:
        """True for a pre-trained model whose classifiers this run trains."""
        return self.is_of_this_run and not self.has_counts

    def file(self, path: str) -> str:
        """A file or folder of its results."""
        return f"{self.folder}/{path}"

    def counts(self, path: str) -> str | list[str]:
        """A file with counts of its training cells, or made from them; an empty list without counts."""
        return self.file(path) if self.has_counts else []

    def trained_before(self, path: str) -> str | list[str]:
        """A file of a pre-trained model; an empty list if this run trains the model."""
        return self.file(path) if self.is_pretrained else []

    @property
    def has_latents(self) -> bool:
        """True if it has a latent space; an imported regression on genes does not."""
        return self.packed is None or LATENTS in self.packed.files

    def on_expression_alone(self, path: str) -> str | list[str]:
        """A file of a reference without latents; an empty list for others."""
        return [] if self.has_latents else self.file(path)

    @property
    def identity(self) -> str | list[str]:
        """The file with name, version and hash of a packed reference; an empty list for others."""
        return self.file(MANIFEST) if self.packed else []

    @property
    def gene_names(self) -> str | list[str]:
        """The table of genes' ids and symbols of a packed reference; an empty list without one."""
        return self.file(GENE_NAMES) if self.packed and GENE_NAMES in self.packed.files else []

    @property
    def unpacked_files(self) -> dict[str, str]:
        """Unpacked files of a packed reference, by name."""
        files = {"identity": MANIFEST, **AS_THEY_ARE}
        if self.has_latents:
            files["mapped"] = LATENTS
        if self.gene_names:
            files["gene_names"] = GENE_NAMES
        if self.has_held_out:
            files |= {"held_out": VALIDATION, "scores": TEST_SCORES}
        return {name: self.file(path) for name, path in files.items()}

    @property
    def unpacked_folders(self) -> dict[str, str]:
        """Unpacked folders of a packed reference, by name."""
        folders = {"model": MODEL, "classifier": CLASSIFIER}
        if self.has_held_out:
            folders["held_out_model"] = VALIDATION_MODEL
        return {name: self.file(path) for name, path in folders.items()}


def reference_of(config: dict[str, Any]) -> Reference:
    """The reference of a configuration with defaults.

    Raises
    ------
    InputError
        If a packed reference cannot be read.
    """
    pretrained = config["pretrained"]
    if isinstance(pretrained, dict):
        return Reference("results", has_counts=False, has_held_out=False, is_pretrained=True)
    if is_packed(pretrained):
        packed = read_manifest(pretrained)
        return Reference(
            PACKED, has_counts=False, has_held_out=packed.has_held_out, is_pretrained=True, packed=packed
        )
    folder = masked(Path(pretrained or "results"))
    return Reference(folder, has_counts=True, has_held_out=True, is_pretrained=pretrained is not None)


@dataclass(frozen=True)
class Modality:
    """The modality of the datasets.

    Parameters
    ----------
    name
        `rna` or `cytometry`.
    """

    name: str

    @property
    def has_intensities(self) -> bool:
        """True for intensities of markers, False for counts of genes."""
        return self.name == "cytometry"

    def with_intensities(self, files: Any) -> Any:
        """Files needed for intensities only; an empty list for counts."""
        return files if self.has_intensities else []
