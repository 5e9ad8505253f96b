"""Places of references' files on this machine: a mirror, a registry's path, the cache."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.problems import Problem
from ..errors import InputError
from .archive import sha256_of
from .registry import RegistryEntry


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The default cache."""
    if named := environment.get("CELLFERRY_CACHE"):
        return Path(os.path.expanduser(named))
    caches = environment.get("XDG_CACHE_HOME", "")
    # The XDG standard ignores relative paths.
    caches = caches if os.path.isabs(caches) else os.path.expanduser("~/.cache")
    return Path(caches, "cellferry", "references")


@dataclass(frozen=True)
class Shelves:
    """Folders with files of references.

    Parameters
    ----------
    cache
        Folder that `make fetch` fills.
    mirror
        A folder with an administrator's copies, searched first.
    """

    cache: Path
    mirror: Path | None = None

    def cached(self, reference: RegistryEntry) -> Path:
        """Path of a reference's file in the cache, existing or not."""
        return self.cache / reference.file_name

    def find(self, reference: RegistryEntry) -> Path | None:
        """Path of a reference's existing file; None if it was not fetched."""
        mirrored = [self.mirror / reference.file_name] if self.mirror else []
        # The cache does not replace a wrong path in a registry.
        places = [*mirrored, reference.path or self.cached(reference)]
        return next((path for path in places if os.path.isfile(path)), None)

    def whereabouts(self, reference: RegistryEntry) -> str:
        """The searched places, for a message on a missing file."""
        mirror = [f"the mirror {self.mirror}"] if self.mirror else []
        place = str(reference.path) if reference.path else f"the cache {self.cache}"
        return " and ".join([*mirror, place])

    def check(self, reference: RegistryEntry, path: Path) -> None:
        """Compare a file with its registry entry: size first, then SHA-256 (a second per GB).

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
            raise InputError(Problem(str(reference), what, "get read permission from its owner")) from error
        if digest is None:
            what = f"{path} has {size:,} bytes, but {reference.registry} lists {reference.size:,}"
            raise InputError(Problem(str(reference), what, remedy))
        if digest != reference.sha256:
            what = f"{path} has the SHA-256 {digest}, but {reference.registry} lists {reference.sha256}"
            raise InputError(Problem(str(reference), what, remedy))
