"""Duplicate keys in a YAML file, of which YAML keeps the last."""

from pathlib import Path
from typing import Any

import yaml

from .problems import Problem

MERGE = "tag:yaml.org,2002:merge"
"""Tag of `<<`, which merges another map's keys."""


class _DuplicateKeyLoader(yaml.SafeLoader):
    """Loader that collects duplicate keys of a mapping."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[tuple[str, str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: dict[Any, str] = {}
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key, text = self.construct_object(key_node, deep=True), key_node.value
            if key in seen:
                self.duplicates.append((text, seen[key], key_node.start_mark.line + 1))
            seen[key] = text
        return super().construct_mapping(node, deep)


def duplicate_keys(path: Path) -> list[Problem]:
    """Problems of duplicate keys in a file."""
    with open(path, encoding="utf-8") as file:
        loader = _DuplicateKeyLoader(file)
        try:
            loader.get_single_data()
        except yaml.YAMLError:  # JSON with tabs
            return []
        finally:
            loader.dispose()
    return [
        Problem(
            f"{path}, line {line}",
            f"the key '{key}' is given twice in one place"
            + (f" (without quotes '{first}' is the same to YAML)" if first != key else ""),
            "rename or remove one of them",
        )
        for key, first, line in loader.duplicates
    ]
