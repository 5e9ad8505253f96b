"""Paths of users' files where Snakemake sees patterns: `{x}` is a wildcard, and `<x>` a path variable.

Snakemake has no way to escape them. Rules name users' files with other characters in their place (`masked`),
and Snakemake gets the names themselves when it has put wildcards in (`name_literally`). All else that looks
at the inputs of a rule, and not at those of a job, takes them `as_named`.

Imported by the Snakefile: standard library only.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError

SPECIAL = "{}<>"
# For private use in Unicode: no keyboard has them.
_STAND_INS = "\ue07b\ue07d\ue03c\ue03e"
_MASKED = str.maketrans(SPECIAL, _STAND_INS)
_NAMED = str.maketrans(_STAND_INS, SPECIAL)


def masked(path: str | Path) -> str:
    """A user's path as rules may name it: without what Snakemake takes for its own."""
    return str(path).translate(_MASKED)


def as_named(path: str | Path) -> str:
    """A path as the user has named it, masked or not."""
    return str(path).translate(_NAMED)


def check_working_folder(folder: Path) -> None:
    """Stop where Snakemake cannot work: it finds its locks by a pattern that begins with the folder.

    Raises
    ------
    InputError
        If the folder's path would be taken for a pattern.
    """
    if re.search(r"\{\s*[.\w]+\s*[,}]", str(folder)):
        raise InputError(
            f"the working folder is {folder}, and Snakemake takes what is in braces for a wildcard; run it "
            "in a folder without braces in its path (snakemake --directory). Inputs may have them"
        )


def name_literally(rule: Any) -> None:
    """Have Snakemake give a rule's jobs their inputs by the names that users gave them; when all are set."""
    if getattr(rule, "input_modifier", None) is None:  # it has no inputs
        return
    rule.pathvars = _NoPathVariables()
    rule.input_modifier = _NameRestorer(rule.input_modifier)
    for name, item in list(rule.input.items()):
        if callable(item):
            continue
        files = [str(item)] if isinstance(item, str) else list(map(str, item))
        if files != list(map(as_named, files)):
            # It modifies what functions return after it has put wildcards in, and everything else before.
            setattr(rule.input, name, _function_of(files[0] if isinstance(item, str) else files))


def _function_of(files: str | list[str]) -> Callable[[Any], str | list[str]]:
    """An input function for files that are the same whatever the wildcards."""

    def given(wildcards: Any) -> str | list[str]:
        return files

    return given


class _NameRestorer:
    """What Snakemake calls a path modifier, made for modules whose files lie elsewhere."""

    def __init__(self, modifier: Any) -> None:
        self._modifier = modifier

    def modify(self, path: Any, property: str | None = None) -> Any:  # noqa: A002
        path = self._modifier.modify(path, property=property)
        return path if as_named(path) == path else as_named(path)


class _NoPathVariables:
    """What Snakemake calls path variables: rules here have none."""

    def apply(self, path: str) -> str:
        return path
