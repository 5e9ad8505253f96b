"""Users' paths that Snakemake would read as patterns: `{x}` (wildcard) and `<x>` (path variable).

Snakemake cannot escape them. Rules use paths with substitute characters (`masked`), and Snakemake gets the
real names after filling in wildcards (`name_literally`). Other code that reads a rule's inputs, not a job's,
converts them back (`as_named`).

Imported by the Snakefile: standard library only.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError

SPECIAL = "{}<>"
# Private use in Unicode: not used in paths.
_STAND_INS = "\ue07b\ue07d\ue03c\ue03e"
_MASKED = str.maketrans(SPECIAL, _STAND_INS)
_NAMED = str.maketrans(_STAND_INS, SPECIAL)


def masked(path: str | Path) -> str:
    """A user's path for rules, without Snakemake's special characters."""
    return str(path).translate(_MASKED)


def as_named(path: str | Path) -> str:
    """The user's original path, from a masked one or not."""
    return str(path).translate(_NAMED)


def check_working_folder(folder: Path) -> None:
    """Refuse a working folder that Snakemake would read as a pattern when it searches its locks.

    Raises
    ------
    InputError
        If the folder's path contains a pattern.
    """
    if re.search(r"\{\s*[.\w]+\s*[,}]", str(folder)):
        raise InputError(
            f"the working folder is {folder}, and Snakemake reads text in braces as a wildcard; run it in a "
            "folder without braces in its path (snakemake --directory). Paths of inputs can have braces"
        )


def name_literally(rule: Any) -> None:
    """Give a rule's jobs their inputs under the original names; call after all inputs are set."""
    if getattr(rule, "input_modifier", None) is None:  # it has no inputs
        return
    rule.pathvars = _NoPathVariables()
    rule.input_modifier = _NameRestorer(rule.input_modifier)
    for name, item in list(rule.input.items()):
        if callable(item):
            continue
        files = [str(item)] if isinstance(item, str) else list(map(str, item))
        if files != list(map(as_named, files)):
            # Snakemake modifies results of functions after filling in wildcards, other paths before.
            setattr(rule.input, name, _function_of(files[0] if isinstance(item, str) else files))


def _function_of(files: str | list[str]) -> Callable[[Any], str | list[str]]:
    """An input function for files that do not depend on wildcards."""

    def given(wildcards: Any) -> str | list[str]:
        return files

    return given


class _NameRestorer:
    """A path modifier of Snakemake, which it has for modules with files elsewhere."""

    def __init__(self, modifier: Any) -> None:
        self._modifier = modifier

    def modify(self, path: Any, property: str | None = None) -> Any:  # noqa: A002
        path = self._modifier.modify(path, property=property)
        return path if as_named(path) == path else as_named(path)


class _NoPathVariables:
    """Snakemake's path variables, without any: rules here do not use them."""

    def apply(self, path: str) -> str:
        return path
