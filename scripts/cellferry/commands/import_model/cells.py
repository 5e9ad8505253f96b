"""Detection of a model's latents by name, number and values."""

import re
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ...core.reading import readable
from ...errors import InputError
from ...formats.hdf5 import open_hdf5, refuse_what_crashes
from ...formats.latents import MINIFIED_KEYS, ROWS, obsm_shapes, open_latents
from ...model.registered import Registered
from ..new.column_choice import AS_NAMED
from .counted import place_of_counts
from .folders import TABLES

NO_LATENTS = {"umap", "tsne", "mde", "pca", "qzv", "phate"}
"""Words in names of obsm elements that are computed from latents, or are not means."""

MAX_DIFFERENCE = 1e-3
"""Largest difference of equal latents, the tolerance of `import_reference`."""


class Latents(NamedTuple):
    """Location of latents, and the reason for choosing them.

    Attributes
    ----------
    path, key
        File, and element of obsm; None for a table with columns `latent_0` and so on.
    why
        The reason, in words.
    counts
        Place of counts from which the model can compute the latents; None if the file has latents.
    """

    path: Path
    key: str | None
    why: str
    counts: str | None = None

    def __str__(self) -> str:
        """File and element."""
        place = f"obsm {self.key}" if self.key else self.counts
        return f"{self.path}, {place}" if place else f"{self.path}"


def latents_in(files: list[Path], model: Registered, key: str, *, named: bool) -> list[Latents]:
    """Candidates for the model's latents, each array once; only those that the model names, if any.

    Without latents: counts from which the model can compute them.

    Parameters
    ----------
    files
        h5ad files and tables.
    model
        Content of the model's file.
    key
        The element of obsm, or the prefix of columns, that the user gave; can be empty.
    named
        True if the user gave the file.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    found = [latents for path in files for latents in _in_file(path, model, key, named=named)]
    if not found and not key:
        places = {path: place_of_counts(path, model) for path in files}
        found = [
            Latents(path, None, "computed by the model from these counts", place)
            for path, place in places.items()
            if place
        ]
    named_by_model = [
        latents for latents in found if latents.key is not None and latents.key == model.latents
    ]
    return found if key else named_by_model or _without_repeats(found)


def _in_file(path: Path, model: Registered, key: str, *, named: bool) -> Iterator[Latents]:
    if not h5py.is_hdf5(path):
        # Tables beside a model can contain anything.
        with nullcontext() if named else suppress(InputError):
            if open_latents(str(path), key or None).width == model.n_latent or named:
                yield Latents(
                    path, key or None, AS_NAMED if key or named else "a table with the same number of latents"
                )
        return
    refuse_what_crashes(path)
    for name, (_, width) in obsm_shapes(path).items():
        if key:
            if name == key:
                yield Latents(path, name, AS_NAMED)
        elif width == model.n_latent and name == model.latents:
            yield Latents(path, name, "the model names it")
        elif width == model.n_latent and is_called_like(name, model.kind):
            yield Latents(path, name, f"by its name and its {width} dimensions")


def is_called_like(name: str, kind: str) -> bool:
    """True if the name of an obsm element fits latents of this class of model."""
    words = set(re.findall(r"[a-z]+", name.casefold()))
    if words & NO_LATENTS:
        return False
    # Names of minified cells' latents do not contain the class.
    return kind.casefold() in words or (name in MINIFIED_KEYS and not words & {"scvi", "scanvi", "cytovi"})


def _without_repeats(found: list[Latents]) -> list[Latents]:
    """Drop elements of a file that duplicate the values of another one."""
    kept: list[Latents] = []
    for latents in found:
        if not any(_are_same(latents, other) for other in kept):
            kept.append(latents)
    return kept


def _are_same(one: Latents, other: Latents) -> bool:
    """True if two elements of a file have the same values."""
    if one.path != other.path or one.key is None or other.key is None:
        return False
    with readable(one.path), open_hdf5(one.path) as file:
        first, second = file["obsm"][one.key], file["obsm"][other.key]
        return all(
            np.allclose(first[start : start + ROWS], second[start : start + ROWS], atol=MAX_DIFFERENCE)
            for start in range(0, len(first), ROWS)
        )


def there_instead(files: list[Path]) -> str:
    """Contents of files without latents, for a message."""
    said = []
    for path in files:
        if path.name.endswith(TABLES):
            continue
        held = [f"{name} ({width})" for name, (_, width) in obsm_shapes(path).items()]
        said.append(f"{path.name} has {f'obsm {", ".join(held)}' if held else 'nothing in obsm'}")
    return "; ".join(said) or "there is no h5ad file beside it"
