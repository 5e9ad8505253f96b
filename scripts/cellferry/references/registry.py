"""Registries: files with location, checksum, size and license of references' versions."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..core.problems import Problem, Problems, problems_of, suggestion
from ..core.project import PROJECT
from ..core.schema_errors import Place, schema_problems
from ..core.text import in_one_line, refuse_special
from ..core.yaml_keys import duplicate_keys
from ..core.yaml_text import restore_text
from ..errors import InputError
from .archive import ENDING, file_name
from .locations import address_of

SHIPPED = PROJECT / "config" / "references.yaml"
"""The project's own registry."""

SCHEMA_PATH = PROJECT / "config" / "schemas" / "references.schema.yaml"
PAGE = "docs/references.md"
MAX_LISTED = 10


@dataclass(frozen=True)
class RegistryEntry:
    """A registry's entry of one version of a reference.

    Parameters
    ----------
    name, version
        Name and version, which together identify one file.
    location
        Location of the file.
    sha256, size
        Checksum (64 hexadecimal digits, lower case) and size (bytes) of the file.
    license, description
        One line each.
    registry
        The registry's file.
    """

    name: str
    version: str
    location: str
    sha256: str
    size: int
    license: str
    description: str
    registry: Path

    def __str__(self) -> str:
        """The name in configurations: `NAME@VERSION`."""
        return f"{self.name}@{self.version}"

    @property
    def file_name(self) -> str:
        """Name of its file in a cache or mirror; unique, since versions have no dash."""
        return file_name(self.name, self.version)

    @property
    def address(self) -> str | None:
        """Its web address; None if its location is a path."""
        return address_of(self.location)

    @property
    def path(self) -> Path | None:
        """The path of its file, if its location is a path."""
        return None if self.address else self.registry.parent / self.location


@functools.cache
def load_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of a registry; callers share it and must not change it."""
    return yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))


def read_registries(paths: Iterable[Path]) -> list[RegistryEntry]:
    """The references of several registries, in order; of duplicates, the first.

    Raises
    ------
    InputError
        For all problems of all registries: an unreadable file, an entry that does not fit the schema, a
        version with two files.
    """
    known: dict[str, RegistryEntry] = {}
    problems = []
    for path in dict.fromkeys(paths):
        try:
            references = _read_registry(path)
        except InputError as error:
            problems += problems_of(error)
            continue
        for reference in references:
            other = known.setdefault(str(reference), reference)
            if other.sha256 != reference.sha256:
                what = f"{other.registry} has another file (sha256) for {reference}"
                remedy = "change the version of one of them"
                problems.append(Problem(f"{path}, {reference}", what, remedy))
    if problems:
        raise InputError(Problems(f"registries have {len(problems)} problem(s)", tuple(problems)))
    return list(known.values())


def find(text: str, known: list[RegistryEntry]) -> RegistryEntry:
    """The reference of `NAME@VERSION`, or of `NAME` with a single version.

    Raises
    ------
    InputError
        If no registry lists it; the message lists the available ones.
    """
    name, _, version = text.partition("@")
    versions = {each.version: each for each in known if each.name == name}
    if not versions:
        raise InputError(_unknown(name, known))
    if not version and len(versions) == 1:
        return next(iter(versions.values()))
    if version in versions:
        return versions[version]
    listed = ", ".join(versions)
    if not version:
        raise InputError(f"{name} has the versions {listed}; name one: {name}@{next(reversed(versions))}")
    raise InputError(
        f"{name} has no version {version}{suggestion(version, list(versions))}; it has: {listed}"
    )


def _unknown(name: str, known: list[RegistryEntry]) -> str:
    names = [str(each) for each in known]
    listed = ", ".join(names[:MAX_LISTED]) or "none"
    if len(names) > MAX_LISTED:
        listed += f" and {len(names) - MAX_LISTED} more (make references)"
    nearly = suggestion(name, list(dict.fromkeys(each.name for each in known)))
    return f"no registry has a reference '{name}'{nearly}; available: {listed}"


def _read_registry(path: Path) -> list[RegistryEntry]:
    try:
        refuse_special(path)
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            # A few nested aliases can expand beyond the memory.
            what = "the registry has a YAML alias (*name)"
            raise InputError(Problem(str(path), what, "write out its value"))
        values = yaml.safe_load(text)
    except OSError as error:
        problem = Problem(str(path), f"the registry cannot be read ({error.strerror})", "correct the path")
        raise InputError(problem) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # also text that is not UTF-8, and the 30th of February
        what = f"the registry is not valid YAML ({in_one_line(error)})"
        raise InputError(Problem(str(path), what, f"see {PAGE} for its format")) from error
    problems = duplicate_keys(path)
    if isinstance(values, dict):
        restore_text(values, [str(path)], load_schema())

    def name_of(place: Place) -> str:
        return ", ".join([str(path), *_in_words(place, values)])

    problems += schema_problems(values, load_schema(), see=PAGE, name_of=name_of)
    references = [] if problems else [_built(entry, path) for entry in values["references"]]
    first: dict[str, int] = {}
    for number, reference in enumerate(references):
        place = ("references", number)
        if what := _location_problem(reference.location):
            where = name_of((*place, "location"))
            problems.append(Problem(where, f"'{reference.location}' {what}", f"see {PAGE}"))
        if (before := first.setdefault(str(reference), number)) != number:
            what = f"{reference} is already entry {before + 1}"
            problems.append(Problem(name_of(place), what, "change its version, or remove one of them"))
    if problems:
        raise InputError(Problems(f"{path} has {len(problems)} problem(s)", tuple(problems)))
    return references


def _location_problem(location: str) -> str | None:
    try:
        is_path = address_of(location) is None
    except ValueError as error:
        return str(error)
    # The ending distinguishes a file from a folder of results.
    return f"is a path that does not end in {ENDING}" if is_path and not location.endswith(ENDING) else None


def _built(entry: dict[str, Any], registry: Path) -> RegistryEntry:
    size = int(entry["size"])  # 1e8 is a whole number to a schema
    return RegistryEntry(**{**entry, "sha256": entry["sha256"].lower(), "size": size, "registry": registry})


def _in_words(place: Place, values: Any) -> list[str]:
    """A place in a registry: `entry 2 (lung@1.0)` and the key."""
    if len(place) < 2 or place[0] != "references" or not isinstance(values["references"], list):
        return list(map(str, place))
    _, number, *keys = place
    entry = values["references"][number]
    called = (
        [str(entry[key]) for key in ("name", "version") if key in entry] if isinstance(entry, dict) else []
    )
    return [f"entry {number + 1}{f' ({"@".join(called)})' if called else ''}", *map(str, keys)]
