"""The glossary has every key of the configuration and every column of the predictions."""

import re

from cellferry.config.schema import load_schema
from running import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
SECTIONS = (
    "cytometry",
    "labels",
    "references",
    "genes",
    "reference",
    "split",
    "surgery",
    "prediction",
    "merge",
    "output",
)


def keys_of(schema):
    """Names of all keys below a schema."""
    for choice in (schema, *schema.get("oneOf", [])):
        for name, below in choice.get("properties", {}).items():
            yield name
            yield from keys_of(below)


def test_it_has_every_key():
    schema = load_schema()
    keys = {*keys_of(schema), *schema["$defs"]["dataset"]["properties"]} - {"datasets", *SECTIONS}
    named = set(re.findall(r"`(\w+)`", PAGE.partition("## Keys of the configuration")[2]))
    assert keys - named == set()
    # Terms of libraries are in the second column only.
    first = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| ([^|]+) \|", PAGE.partition("## Keys")[2], re.M)))
    )
    assert first - keys == set()


def test_it_has_every_column_of_the_predictions():
    outputs = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    table = outputs.partition("## Columns")[2].partition("## ")[0]
    columns = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", table, re.M))))
    assert columns
    assert columns - set(re.findall(r"`(\w+)`", PAGE)) == set()
