"""Small results as JSON files: the fields of a frozen dataclass, and the version of that class.

An artifact is a dataclass with a class attribute `VERSION`, which rises when its fields change. Its fields
have JSON types, or are lists, tuples (of one type), dicts and optional values of further dataclasses.
"""

import dataclasses
import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from ..core.atomic import complete
from ..core.digests import is_of_this_run
from ..core.problems import Problem
from ..errors import InputError

VERSION = "version"
"""Key of the version, beside the fields."""


def write_artifact(artifact: Any, path: str | Path) -> None:
    """Write an artifact; the file appears when it is complete."""
    content = {VERSION: artifact.VERSION} | dataclasses.asdict(artifact)
    with complete(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_artifact[Artifact](cls: type[Artifact], path: str | Path) -> Artifact:
    """Read the artifact that `write_artifact` wrote.

    Raises
    ------
    InputError
        If the file holds another version of the class, no version, or other fields. A result of this run is
        made again once it is deleted; one of an earlier run (`pretrained`) is not.
    OSError
        If it cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        version = content.pop(VERSION, None)
        if version != cls.VERSION:
            raise ValueError("it has no version" if version is None else f"its version is {version}")
        return _built(cls, content)
    except (ValueError, TypeError, AttributeError) as error:  # JSON may be anything but an object, too
        what = f"was written by another version of the workflow ({error})"
        raise InputError(Problem(str(path), what, remedy(Path(path)))) from error


def remedy(path: Path) -> str:
    """Remedy for an outdated result, in the imperative."""
    if is_of_this_run(path):
        return "delete it and run snakemake again"
    return "run the earlier run again with this version, or continue with the version that made it"


def _built(kind: Any, value: Any) -> Any:
    """A value of JSON as the type of a field: dataclasses are built, also in containers and options."""
    kinds = get_args(kind)
    if dataclasses.is_dataclass(kind):
        _check_keys(value, {field.name for field in dataclasses.fields(kind)})
        types = get_type_hints(kind)
        return kind(**{name: _built(types[name], each) for name, each in value.items()})
    if get_origin(kind) in (list, tuple):
        return get_origin(kind)(_built(kinds[0], each) for each in value)
    if get_origin(kind) is dict:
        return {key: _built(kinds[1], each) for key, each in value.items()}
    options = [each for each in kinds if each is not NoneType]
    is_optional = isinstance(kind, UnionType) and len(options) == 1 and value is not None
    return _built(options[0], value) if is_optional else value


def _check_keys(value: dict[str, Any], names: set[str]) -> None:
    for what, keys in {"lacks": names - value.keys(), "has the unknown": value.keys() - names}.items():
        if keys:
            raise ValueError(f"it {what} {', '.join(sorted(keys))}")
