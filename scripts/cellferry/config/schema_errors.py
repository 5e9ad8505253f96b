"""Schema errors of a configuration, in words for users."""

from typing import Any

from ..core.problems import Problem
from ..core.schema_errors import Place, schema_problems
from .schema import README, load_schema


def config_problems(config: dict[str, Any], schema: dict[str, Any] | None = None) -> list[Problem]:
    """All errors of a configuration by its schema, or by another one."""
    return schema_problems(config, schema or load_schema(), see=README, name_of=_place, special=_dataset_name)


def _place(place: Place) -> str:
    return ".".join(map(str, place)) or "the configuration"


def _dataset_name(error: Any) -> Problem | None:
    """The problem of a dataset's invalid name; None for any other error."""
    if list(error.schema_path)[-3:-1] != ["datasets", "propertyNames"]:
        return None
    what = (
        f"'{error.instance}' cannot be a dataset's name; names contain letters, digits, '-' and '_', and "
        "'reference', 'validation' and 'test' are reserved"
    )
    return Problem("datasets", what, "rename it")
