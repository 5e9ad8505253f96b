"""The workflow as a module of another one: `module cellferry: ...` and `use rule * from cellferry`.

Imported by the Snakefile: standard library only.
"""

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InputError

HANDLERS = ("onstart", "onsuccess", "onerror")

OWN = "is_of_cellferry"
"""Attribute of this workflow's rules."""


def check_module(modifier: Any) -> None:
    """Check that a workflow takes rules and paths by their own names: results and records are found by them.

    Parameters
    ----------
    modifier
        Snakemake's modifier of the rules of this workflow.

    Raises
    ------
    InputError
        If it gives the rules or the paths other names.
    """
    rename = modifier.resolved_rulename_modifier
    if rename and rename("plan") != "plan":
        raise InputError(
            f"use rule ... as {rename('*')}: method versions and memory belong to the names of cellferry's "
            "rules; take `as` out, and a rule of the same name as one of your own by `exclude`"
        )
    paths = modifier.path_modifier
    while paths:
        if paths.prefix or paths._prefix_replacements:
            raise InputError(
                "module: `prefix` and `replace_prefix` move some of cellferry's files and not others; take "
                "them out, and name the folder of the run: snakemake --directory"
            )
        paths = paths.inner_modifier


def section_of(config: dict[Any, Any], whole: Any) -> tuple[Any, ...] | None:
    """The keys at which a workflow's configuration has that of its module; None if it is not a part of it."""
    if whole is config:
        return ()
    for key, value in whole.items() if isinstance(whole, dict) else ():
        if (rest := section_of(config, value)) is not None:
            return (key, *rest)
    return None


def mark_own_rules(modifier: Any) -> list[Any]:
    """Mark and return the rules that were read with a modifier, for `own_rules`.

    `use rule ... from ... with` reads the module again, with another modifier, for the changed rules only.
    """
    rules = list(modifier.rules)
    for rule in rules:
        setattr(rule, OWN, True)
    return rules


def own_rules(workflow: Any) -> list[Any]:
    """The rules of this workflow, without those of one that uses it as a module."""
    return [rule for rule in workflow.rules if hasattr(rule, OWN)]


def run_handlers(workflow: Any, handlers: Iterable[Callable[..., None]]) -> None:
    """Have Snakemake run a module's handlers too, after those of the workflow that uses it.

    Parameters
    ----------
    handlers
        Those of `HANDLERS`, in their order, as Snakemake names them in a Snakefile.
    """
    for name, handler in zip(HANDLERS, handlers, strict=True):
        _append(workflow, name, handler.func)
        # A workflow may have its own below, which would replace them.
        setattr(workflow, name, _registering(workflow, name, getattr(workflow, name), handler.func))


def _append(workflow: Any, name: str, own: Callable[..., None]) -> None:
    """Add to a handler; once, since the module is read again for `use rule ... from ... with`."""
    others = getattr(workflow, f"_{name}")
    others = getattr(others, "others", others)

    def run(log: Any) -> None:
        others(log)
        own(log)

    run.others = others
    setattr(workflow, f"_{name}", run)


def _registering(
    workflow: Any, name: str, register: Callable[..., None], own: Callable[..., None]
) -> Callable[..., None]:
    """Snakemake's function that registers a handler, with one more handler."""

    def register_both(handler: Callable[..., None]) -> None:
        register(handler)
        _append(workflow, name, own)

    return register_both
