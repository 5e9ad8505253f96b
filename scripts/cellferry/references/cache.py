"""Where the files of references lie on this machine: a mirror, a registry's own path, the cache."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.problems import Problem
from ..errors import InputError
from .archive import sha256_of
from .registry import RegistryEntry


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The cache where the configuration names none."""
    if named := environment.get("CELLFERRY_CACHE"):
        return Path(os.path.expanduser(named))
    caches = environment.get("XDG_CACHE_HOME", "")
    # The standard has relative ones ignored.
    caches = caches if os.path.isabs(caches) else os.path.expanduser("~/.cache")
    return Path(caches, "cellferry", "references")


@dataclass(frozen=True)
class Shelves:
    """Folders with files of references.

    Parameters
    ----------
    cache
        What `make fetch` fills.
    mirror
        A folder that somebody else fills; looked in first.
    """

    cache: Path
    mirror: Path | None = None

    def cached(self, reference: RegistryEntry) -> Path:
        """Where the cache has a reference's file, or will have it."""
        return self.cache / reference.file_name

    def find(self, reference: RegistryEntry) -> Path | None:
        """The file of a reference; None if it was not fetched."""
        mirrored = [self.mirror / reference.file_name] if self.mirror else []
        # A path is where the file is or should be: a wrong one is not made up for by the cache.
        places = [*mirrored, reference.path or self.cached(reference)]
        return next((path for path in places if os.path.isfile(path)), None)

    def whereabouts(self, reference: RegistryEntry) -> str:
        """Where a file that was not found was looked for."""
        mirror = [f"the mirror {self.mirror}"] if self.mirror else []
        place = str(reference.path) if reference.path else f"the cache {self.cache}"
        return " and ".join([*mirror, place])

    def check(self, reference: RegistryEntry, path: Path) -> None:
        """Compare a file with what its registry says of it: size first, then SHA-256 (a second for a GB).

        Raises
        ------
        InputError
            If it is another file, or cannot be read.
        """
        remedy = "copy it again, or correct the registry"
        try:
            size = path.stat().st_size
            digest = sha256_of(path) if size == reference.size else None
        except OSError as error:
            what = f"{path} cannot be read ({error.strerror})"
            raise InputError(Problem(str(reference), what, "ask its owner for read permission")) from error
        if digest is None:
            what = f"{path} has {size:,} bytes, and {reference.registry} says {reference.size:,}"
            raise InputError(Problem(str(reference), what, remedy))
        if digest != reference.sha256:
            what = f"{path} has the SHA-256 {digest}, and {reference.registry} says {reference.sha256}"
            raise InputError(Problem(str(reference), what, remedy))
