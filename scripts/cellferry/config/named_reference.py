"""References given by name, `pretrained: NAME@VERSION`: registries and files."""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ..core.problems import Problem, Problems, problems_of
from ..core.project import IS_INSTALLED, PROJECT
from ..core.text import in_one_line
from ..core.yaml_keys import duplicate_keys
from ..core.yaml_text import restore_text
from ..errors import InputError
from ..references.cache import Shelves, default_cache
from ..references.registry import SHIPPED, RegistryEntry, find, read_registries
from .schema import load_schema
from .schema_errors import config_problems

SECTION = "references"


def locate_pretrained(config: dict[str, Any]) -> None:
    """Replace a reference's name by the path of its file, in place; in the main process and in jobs.

    The section `references` is removed: results depend on the file, not on its place.

    Parameters
    ----------
    config
        The configuration with defaults, after `check`.

    Raises
    ------
    InputError
        If the file is missing, or not visible on a compute node.
    """
    section = config.pop(SECTION)
    if is_name(config["pretrained"]):
        config["pretrained"] = str(_file_of(config["pretrained"], section, check=False))


def with_located_reference(
    config: dict[str, Any], config_files: Sequence[str | Path]
) -> tuple[dict[str, Any], list[Problem]]:
    """The same for the checks, which report all problems.

    The file is compared with its checksum.

    Parameters
    ----------
    config
        The configuration without defaults; not changed.
    config_files
        Its files, for the command that fetches a file.

    Returns
    -------
    The configuration with the path, or without one if the file is not available, and the problems of the
    section `references`, of registries and of the file.
    """
    section, name = config.get(SECTION, {}), config.get("pretrained")
    without = {**config, "pretrained": None} if is_name(name) else config
    if _section_problems(section):
        return without, []  # reported with the whole configuration
    try:
        if is_name(name):
            path = _file_of(name, section, config_files=config_files, check=True)
            return {**config, "pretrained": str(path)}, []
        if section:
            shelves_of(section)
            known_references(section)
    except InputError as error:
        return without, problems_of(error)
    return config, []


def is_name(pretrained: Any) -> bool:
    """True if a value of `pretrained` is a name with a version, not a path."""
    if not isinstance(pretrained, str) or "@" not in pretrained or "/" in pretrained:
        return False
    return not os.path.exists(pretrained)


def located(name: str) -> Path:
    """The checked file of a reference given by name; for commands.

    Raises
    ------
    InputError
        If no registry lists it, or it was not fetched or is damaged.
    """
    return _file_of(name, {}, check=True)


def known_references(section: dict[str, Any]) -> list[RegistryEntry]:
    """The references of all registries: those of the section `references`, then the project's own.

    Raises
    ------
    InputError
        If a registry cannot be used.
    """
    return read_registries([*map(_path, section.get("registries", [])), SHIPPED])


def shelves_of(section: dict[str, Any]) -> Shelves:
    """The folders with files of references, by the section `references`.

    Raises
    ------
    InputError
        If the mirror is missing.
    """
    cache, mirror = (section.get(key) and _path(section[key]) for key in ("cache", "mirror"))
    if mirror and not mirror.is_dir():
        what = f"there is no folder {mirror} (looked in {Path.cwd()})"
        raise InputError(Problem("references.mirror", what, "correct the path"))
    return Shelves(cache or default_cache(), mirror)


def read_section(config_files: Iterable[Path]) -> dict[str, Any]:
    """The section `references` of several configurations, later ones take precedence; for commands.

    Raises
    ------
    InputError
        If a file cannot be read, or the section is wrong; other sections are not checked.
    """
    section: dict[str, Any] = {}
    for path in config_files:
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            what = f"the configuration cannot be read ({error.strerror})"
            raise InputError(Problem(str(path), what, "name one with CONFIG=")) from error
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(
                Problem(str(path), f"is not valid YAML ({in_one_line(error)})", "correct it")
            ) from error
        config = config if isinstance(config, dict) else {}
        restore_text(config, [str(path)], load_schema())
        problems = duplicate_keys(path) + _section_problems(config.get(SECTION, {}))
        if problems:
            raise InputError(Problems(f"{path} has {len(problems)} problem(s)", tuple(problems)))
        section |= config.get(SECTION, {})
    return section


def _path(given: str) -> Path:
    return Path(os.path.expanduser(given))


def _section_problems(section: Any) -> list[Problem]:
    schema = load_schema()["properties"][SECTION]
    return config_problems({SECTION: section}, {"properties": {SECTION: schema}})


def _file_of(
    name: str, section: dict[str, Any], *, config_files: Sequence[str | Path] = (), check: bool
) -> Path:
    """The file of a reference, with its checksum compared if `check`.

    `InputError` if no registry lists it, or it was not fetched or is damaged.
    """
    if name.endswith("@"):
        raise InputError(Problem("pretrained", f"'{name}' has no version", "give NAME@VERSION"))
    shelves, known = shelves_of(section), known_references(section)
    try:
        reference = find(name, known)
    except InputError as error:
        raise InputError(Problem("pretrained", f"there is no folder {name}, and {error}")) from error
    path = shelves.find(reference)
    if path is None:
        what = f"{reference} was not fetched (looked in {shelves.whereabouts(reference)})"
        remedy = f"correct its location in {reference.registry}"
        if reference.address:
            remedy = f"run `{_command_for(reference, section, config_files)}`"
        raise InputError(Problem("pretrained", what, remedy))
    try:
        if check:
            shelves.check(reference, path)
    except InputError as error:
        if path != shelves.cached(reference):
            raise
        remedy = f"run `{_command_for(reference, section, config_files)}` to fetch it again"
        raise InputError(replace(problems_of(error)[0], remedy=remedy)) from error
    return path


def _command_for(
    reference: RegistryEntry, section: dict[str, Any], config_files: Sequence[str | Path]
) -> str:
    """The command that fetches a reference with this configuration, with paths relative to the run."""
    if not (PROJECT / "Makefile").exists():
        return _command_without_make(reference, config_files)
    command = f"make fetch REFERENCE={reference}"
    if config_files:
        command += f" CONFIG={shlex.quote(' '.join(map(str, config_files)))}"
    return (
        f"{command} DIRECTORY={shlex.quote(str(Path.cwd()))}"
        if section and Path.cwd() != PROJECT
        else command
    )


def _command_without_make(reference: RegistryEntry, config_files: Sequence[str | Path]) -> str:
    """The same where there is no clone: from a wheel, or for a workflow that takes this one as a module."""
    command = [sys.executable, "-m", "cellferry.commands.references", "--fetch", str(reference)]
    if config_files:
        command += ["--config", *map(str, config_files)]
    found_by = "" if IS_INSTALLED else f"PYTHONPATH={shlex.quote(str(PROJECT / 'scripts'))} "
    return found_by + shlex.join([*command, "--directory", str(Path.cwd())])
