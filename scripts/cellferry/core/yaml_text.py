"""Text in a YAML file that YAML reads as another type: `no`, `ON`, `003`, `2024-01-02`.

Imported by the Snakefile, so it needs only packages that Snakemake needs too.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*|[0-9]*\.[0-9]*([eE][+-]?[0-9]+)?)")
"""Numbers as people write them: not 003, 1_000, 0x1F or 12:30, which YAML reads as numbers too."""

LITERALS = ("true", "false")
"""Spelling of booleans in values that may be text; YAML's `yes`, `no`, `on` and `off` are text there."""


def restore_text(
    config: dict[str, Any], config_files: list[str], schema: dict[str, Any], section: Sequence[Any] = ()
) -> None:
    """Restore the written text of values that YAML converted, wherever the schema requires text, in place.

    Keys of maps with names chosen by the user are text. If a number or boolean is allowed too, a value
    spelled as one stays one. Values from other sources than these files stay unchanged.

    Parameters
    ----------
    config
        The configuration, as Snakemake read it.
    config_files
        The files that it was read from, in order.
    schema
        Its JSON schema.
    section
        Keys of the section of the files that has the configuration.
    """
    for path in config_files:
        try:
            node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except yaml.YAMLError:  # JSON with tabs, where text is quoted anyway
            continue
        for key in section:
            node = _value_node(node, key)
        if isinstance(node, yaml.MappingNode):
            restored = _restored(config, node, schema, schema)
            config.clear()
            config.update(restored)


def _value_node(node: yaml.Node | None, key: Any) -> yaml.Node | None:
    """The node of a key in a map; None without the key."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if _constructed(name) == key), None)


def _restored(value: Any, node: yaml.Node, schema: dict[str, Any], root: dict[str, Any]) -> Any:
    choices = list(_choices(schema, root))
    if isinstance(value, dict) and isinstance(node, yaml.MappingNode):
        return dict(_restored_items(value, node, choices, root))
    if isinstance(value, list) and isinstance(node, yaml.SequenceNode) and len(value) == len(node.value):
        items = next((choice["items"] for choice in choices if "items" in choice), {})
        return [_restored(one, own, items, root) for one, own in zip(value, node.value, strict=True)]
    if isinstance(value, str | dict | list) or not isinstance(node, yaml.ScalarNode):
        return value
    types = {name for choice in choices for name in _types(choice)}
    is_same = _constructed(node) == value  # or the value comes from elsewhere
    return node.value if is_same and "string" in types and not _is_meant(value, node.value, types) else value


def _restored_items(
    values: dict[Any, Any], node: yaml.MappingNode, choices: list[dict[str, Any]], root: dict[str, Any]
) -> Iterator[tuple[Any, Any]]:
    with suppress(yaml.YAMLError):
        yaml.constructor.SafeConstructor().flatten_mapping(node)  # merges the maps of `<<`
    known = {name: kind for choice in choices for name, kind in choice.get("properties", {}).items()}
    others = next((kind for choice in choices if (kind := choice.get("additionalProperties"))), None)
    nodes: dict[tuple[type, Any], tuple[yaml.Node, yaml.Node]] = {}
    for name, value_node in node.value:
        # Also the spelling in the file: an earlier file may have restored the key.
        for key in (_constructed(name), name.value) if isinstance(name, yaml.ScalarNode) else ():
            nodes[type(key), key] = (name, value_node)
    for key, value in values.items():
        name, value_node = nodes.get((type(key), key), (None, None))
        if name is None:
            yield key, value
        elif key in known:
            yield key, _restored(value, value_node, known[key], root)
        elif others:
            yield name.value, _restored(value, value_node, others, root)
        else:
            yield key, value


def _choices(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    yield schema
    for key in ("oneOf", "anyOf"):
        yield from schema.get(key, [])


def _types(schema: dict[str, Any]) -> list[str]:
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else named


def _constructed(node: yaml.Node) -> Any:
    """YAML's reading of a scalar; None if that fails, as for the 30th of February."""
    try:
        return yaml.constructor.SafeConstructor().construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        return None


def _is_meant(value: Any, text: str, types: set[str]) -> bool:
    """True if a value's spelling fits its type, and the schema allows this type besides text."""
    if value is None:
        return True
    if isinstance(value, bool):
        return "boolean" in types and text.lower() in LITERALS
    if isinstance(value, int | float):
        return not types.isdisjoint(("number", "integer")) and NUMBER.fullmatch(text) is not None
    return False
