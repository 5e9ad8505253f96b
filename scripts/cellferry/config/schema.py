"""Schema and defaults of the configuration."""

import copy
import functools
from typing import Any

import yaml

from ..core.project import PROJECT
from .available_heads import HEADS
from .formats import FORMATS
from .samples import automatic_chunks, conversion_jobs

AUTOMATIC: dict[str, dict[tuple[str, str], Any]] = {
    "rna": {
        ("model", "type"): "scvi",
        ("model", "n_latent"): 30,
        ("model", "n_layers"): 2,
        ("surgery", "fit"): True,
    },
    # CytoVI's latent space depends on the number of markers.
    "cytometry": {("model", "type"): "cytovi", ("model", "n_layers"): 1, ("surgery", "fit"): False},
}
"""Values of `auto` that depend on the modality."""

SCHEMA_PATH = PROJECT / "config" / "schemas" / "config.schema.yaml"
README = "config/README.md"


@functools.cache
def load_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of the configuration; callers share it and must not change it.

    Names of formats and heads are those of `FORMATS` and `HEADS`.
    """
    schema = yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))
    schema["$defs"]["dataset"]["properties"]["format"]["enum"] = ["auto", *FORMATS]
    heads = schema["properties"]["prediction"]["properties"]["heads"]
    heads["items"]["enum"] = heads["default"] = [*HEADS]
    return schema


def fill_defaults(config: dict[str, Any]) -> None:
    """Add the schema's defaults for missing keys, and sort keys by the schema, in place.

    Automatic numbers of chunks and conversion jobs are computed from the files.
    """
    schema = load_schema()
    _fill(config, schema["properties"])
    for (section, key), value in AUTOMATIC[config["modality"]].items():
        if config[section][key] == "auto":
            config[section][key] = value
    for dataset in config["datasets"].values():
        _fill(dataset, schema["$defs"]["dataset"]["properties"])
        path, follow_links = dataset["path"], dataset["follow_links"]
        if dataset["chunks"] == "auto":
            dataset["chunks"] = automatic_chunks(path, follow_links=follow_links)
        if dataset["jobs"] == "auto":
            dataset["jobs"] = conversion_jobs(path, chunks=dataset["chunks"], follow_links=follow_links)
        dataset["jobs"] = min(dataset["jobs"], dataset["chunks"])


def _fill(values: dict[str, Any], properties: dict[str, Any]) -> None:
    for key, schema in properties.items():
        if "default" in schema:
            # A copy: the configuration must not share its lists with the schema.
            values.setdefault(key, copy.deepcopy(schema["default"]))
        if key not in values:
            continue
        # Removed and added again, so that keys get the schema's order.
        values[key] = _as_declared(values.pop(key), schema)
        if "properties" in schema and isinstance(values[key], dict):
            _fill(values[key], schema["properties"])


def _as_declared(value: Any, schema: dict[str, Any]) -> Any:
    """A value in its normal form, so that equivalent forms do not repeat jobs.

    Numbers are floats or integers by the schema, and maps of plain values are sorted.
    """
    choices = [schema, *schema.get("oneOf", [])]
    types: set[str] = set()
    for choice in choices:
        named = choice.get("type", [])
        types.update([named] if isinstance(named, str) else named)
    if type(value) is int and "number" in types and "string" not in types:
        return float(value)
    if type(value) is float and value.is_integer() and "integer" in types:
        return int(value)
    if isinstance(value, dict) and "object" in types and "properties" not in schema:
        (of_values,) = (
            described["additionalProperties"] for described in choices if "additionalProperties" in described
        )
        in_order = value if "$ref" in of_values else sorted(value, key=str)  # the order of datasets counts
        return {key: _as_declared(value[key], of_values) for key in in_order}
    return value
