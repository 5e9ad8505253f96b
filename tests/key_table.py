"""The key table of config/README.md, made from the schema: python tests/key_table.py > config/keys.md."""

import json
from typing import Any

from cellferry.config.schema import load_schema

HEADER = "| key | default | description |\n|---|---|---|\n"


def key_table() -> str:
    """One row per key: its place, its default (or `required`), its description."""
    schema = load_schema()
    rows = _rows(schema["$defs"]["dataset"], "datasets.NAME.")
    rows += _rows({**schema, "required": []}, "", leave_out={"datasets"})
    return HEADER + "".join(
        f"| `{key}` | {default} | {description} |\n" for key, default, description in rows
    )


def _rows(schema: dict[str, Any], prefix: str, leave_out: frozenset[str] | set[str] = frozenset()) -> list:
    rows = []
    for key, value in schema["properties"].items():
        if key in leave_out:
            continue
        # A section is not a key itself, unless it can be a plain value, too.
        if "properties" not in value or value["type"] != "object":
            required = key in schema.get("required", [])
            default = "required" if required else f"`{json.dumps(value['default'])}`"
            rows.append((prefix + key, default, value["description"].replace("|", "\\|")))
        if "properties" in value:
            rows += _rows(value, f"{prefix}{key}.")
    return rows


if __name__ == "__main__":
    print(key_table(), end="")
