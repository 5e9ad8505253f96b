"""JSON schema errors in terms of the file that a user edits."""

from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator

from .problems import Problem, suggestion

Place = tuple[str | int, ...]
"""Keys and positions that lead to a value, from the top."""


def schema_problems(
    values: Any,
    schema: dict[str, Any],
    *,
    see: str,
    name_of: Callable[[Place], str],
    special: Callable[[Any], Problem | None] = lambda error: None,
) -> list[Problem]:
    """All violations of a schema.

    Parameters
    ----------
    values
        Content of a file.
    schema
        A JSON schema (2020-12).
    see
        The page with all keys.
    name_of
        Returns the name of a place for a message.
    special
        Describes a jsonschema error that needs its own text; returns None for all others.
    """
    if names := list(_names_that_are_not_text(values)):
        # A schema checks only names that are strings.
        return [
            Problem(name_of(place), f"the name {name!r} is not text", "write it in quotes or rename it")
            for place, name in names
        ]
    errors = sorted(Draft202012Validator(schema).iter_errors(values), key=lambda e: list(map(str, e.path)))
    problems = []
    for error in errors:
        found = special(error)
        problems += [found] if found else _describe(error, see, name_of)
    return problems


def _names_that_are_not_text(values: Any) -> Iterator[tuple[Place, Any]]:
    """Names of maps at any depth that are not text; the target of a YAML alias is read once."""
    to_do: list[tuple[Place, Any]] = [((), values)]
    seen: set[int] = set()
    for place, here in to_do:
        if id(here) in seen or not isinstance(here, dict | list):
            continue
        seen.add(id(here))
        if isinstance(here, dict):
            yield from ((place, name) for name in here if not isinstance(name, str))
        below = here.items() if isinstance(here, dict) else enumerate(here)
        to_do += (((*place, name), value) for name, value in below)


def _describe(error: Any, see: str, name_of: Callable[[Place], str]) -> list[Problem]:
    place = name_of(tuple(error.absolute_path))
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = list(error.schema["properties"])
        return [
            Problem(place, f"there is no key '{key}'{suggestion(key, known)}; all keys are in {see}")
            for key in error.instance
            if key not in known
        ]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [Problem(place, f"the key '{key}' is missing", f"see {see}") for key in missing]
    description = error.schema.get("description", "")
    if error.validator == "type" and "string" in error.validator_value and _needs_quotes(error.instance):
        remedy = f"write it in quotes. {description}".rstrip()
        return [Problem(place, f"{error.instance!r} is not text", remedy)]
    if error.validator == "oneOf":
        choices = " or ".join(map(_choice, error.validator_value))
        return [Problem(place, f"{error.instance!r} is not {choices}. {description}")]
    return [Problem(place, f"{error.message}. {description}".rstrip())]


def _choice(schema: dict[str, Any]) -> str:
    """One of several values that a key may have."""
    least = f" of at least {schema['minimum']}" if "minimum" in schema else ""
    return f"{schema.get('const', schema.get('type'))}{least}"


def _needs_quotes(value: Any) -> bool:
    """True if a value is YAML's reading of an unquoted word: a number, a boolean or a date."""
    return not isinstance(value, str | dict | list | None)
