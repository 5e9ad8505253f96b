"""Registries: files that give for each version of a reference where it is, its checksum, size and license."""

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
"""The registry that comes with the project."""

SCHEMA_PATH = PROJECT / "config" / "schemas" / "references.schema.yaml"
PAGE = "docs/references.md"
MAX_LISTED = 10


@dataclass(frozen=True)
class RegistryEntry:
    """A version of a reference, as a registry has it.

    Parameters
    ----------
    name, version
        What it is called; together they stand for one file.
    location
        Where the file is, as the registry says.
    sha256, size
        Checksum (64 hexadecimal digits, lower case) and size (bytes) of the file.
    license, description
        A line each.
    registry
        The file that has the entry.
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
        """The name that people give: `NAME@VERSION`."""
        return f"{self.name}@{self.version}"

    @property
    def file_name(self) -> str:
        """What its file is called in a cache or mirror. No version has a dash, so no other's is called so."""
        return file_name(self.name, self.version)

    @property
    def address(self) -> str | None:
        """The address to fetch it from; None if its location is a path."""
        return address_of(self.location)

    @property
    def path(self) -> Path | None:
        """The path of its file where its location is one."""
        return None if self.address else self.registry.parent / self.location


@functools.cache
def load_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of a registry; not to be changed, since all callers share it."""
    return yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))


def read_registries(paths: Iterable[Path]) -> list[RegistryEntry]:
    """The references of several registries, in their order; of the same one in two the first has it.

    Raises
    ------
    InputError
        With all problems of all registries: a file that cannot be read, an entry that does not fit the
        schema, the same version with two files.
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
                remedy = "give one of them another version"
                problems.append(Problem(f"{path}, {reference}", what, remedy))
    if problems:
        raise InputError(Problems(f"registries have {len(problems)} problem(s)", tuple(problems)))
    return list(known.values())


def find(text: str, known: list[RegistryEntry]) -> RegistryEntry:
    """The reference of a name, `NAME@VERSION`, or `NAME` where there is one version.

    Raises
    ------
    InputError
        If it is not known, with those that are.
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
    return f"no registry has a reference '{name}'{nearly}; known are: {listed}"


def _read_registry(path: Path) -> list[RegistryEntry]:
    try:
        refuse_special(path)
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            # A few of them, one within the other, stand for more than fits in memory.
            what = "the registry has a YAML alias (*name)"
            raise InputError(Problem(str(path), what, "write out what it stands for"))
        values = yaml.safe_load(text)
    except OSError as error:
        problem = Problem(str(path), f"the registry cannot be read ({error.strerror})", "correct the path")
        raise InputError(problem) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # also text that is not UTF-8, and the 30th of February
        what = f"the registry is not YAML ({in_one_line(error)})"
        raise InputError(Problem(str(path), what, f"{PAGE} has its form")) from error
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
            what = f"{reference} is entry {before + 1} already"
            problems.append(Problem(name_of(place), what, "give it another version, or remove one of them"))
    if problems:
        raise InputError(Problems(f"{path} has {len(problems)} problem(s)", tuple(problems)))
    return references


def _location_problem(location: str) -> str | None:
    try:
        is_path = address_of(location) is None
    except ValueError as error:
        return str(error)
    # The workflow tells a file from a folder of results by it.
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
