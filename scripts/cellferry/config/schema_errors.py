"""Errors of the schema, in the words of someone who edits config.yaml."""

import difflib
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from ..core.problems import Problem
from .schema import README, load_schema


def schema_problems(config: dict[str, Any]) -> list[Problem]:
    """All that the schema has against a configuration."""
    if names := list(_names_that_are_no_text(config, "")):
        # A schema looks at names that are strings only.
        return [
            Problem(place, f"the name {name!r} is not text", "write it in quotes or rename it")
            for place, name in names
        ]
    errors = sorted(
        Draft202012Validator(load_schema()).iter_errors(config), key=lambda e: list(map(str, e.path))
    )
    return [problem for error in errors for problem in _describe(error)]


def _names_that_are_no_text(values: Any, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(values, dict):
        return
    for name, value in values.items():
        if not isinstance(name, str):
            yield place, name
        yield from _names_that_are_no_text(value, f"{place}.{name}".removeprefix("."))


def _describe(error: Any) -> list[Problem]:
    """A schema error in the words of someone who edits config.yaml."""
    place = ".".join(str(part) for part in error.absolute_path) or "the configuration"
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = list(error.schema["properties"])
        return [
            Problem(place, f"there is no key '{key}'{suggestion(key, known)}; all keys are in {README}")
            for key in error.instance
            if key not in known
        ]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [Problem(place, f"the key '{key}' is missing", f"see {README}") for key in missing]
    if error.parent is None and error.validator == "propertyNames":
        return [Problem(place, error.message, f"see {README}")]
    if list(error.schema_path)[-3:-1] == ["datasets", "propertyNames"]:
        what = (
            f"'{error.instance}' cannot be a dataset's name; names are letters, digits, '-' and '_', and "
            "'reference', 'validation' and 'test' are taken by parts of the references"
        )
        return [Problem("datasets", what, "rename it")]
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
    """Whether a value is what YAML makes of a word without quotes: a number, a boolean or a date."""
    return not isinstance(value, str | dict | list | None)


def suggestion(key: str, known: list[str]) -> str:
    """A known key that is nearly the one given, as part of a message."""
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
