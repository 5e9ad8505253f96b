"""What the schema has against a configuration, in the words of someone who edits config.yaml."""

from typing import Any

from ..core.problems import Problem
from ..core.schema_errors import Place, schema_problems
from .schema import README, load_schema


def config_problems(config: dict[str, Any], schema: dict[str, Any] | None = None) -> list[Problem]:
    """All that the schema, or another in its place, has against a configuration."""
    return schema_problems(config, schema or load_schema(), see=README, name_of=_place, special=_dataset_name)


def _place(place: Place) -> str:
    return ".".join(map(str, place)) or "the configuration"


def _dataset_name(error: Any) -> Problem | None:
    """The problem of a dataset whose name cannot be one; None for any other error."""
    if list(error.schema_path)[-3:-1] != ["datasets", "propertyNames"]:
        return None
    what = (
        f"'{error.instance}' cannot be a dataset's name; names are letters, digits, '-' and '_', and "
        "'reference', 'validation' and 'test' are taken by parts of the references"
    )
    return Problem("datasets", what, "rename it")
