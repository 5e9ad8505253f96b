"""Settings of the rules: every field is a key of the schema with its type; a misspelt one is refused."""

import inspect
import re
from dataclasses import dataclass
from types import NoneType
from typing import ClassVar, get_args, get_origin, get_type_hints

import pytest
from cellferry.config import settings
from cellferry.config.schema import AUTOMATIC, fill_defaults, load_schema
from cellferry.config.settings import GeneSettings, settings_of
from simulate import settings_like

KINDS = [kind for kind in vars(settings).values() if hasattr(kind, "SECTION")]
FIELDS = [(kind, field) for kind in KINDS for field in kind.__dataclass_fields__ if field != "SECTION"]
TYPES = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": NoneType,
    "number": float,
    "object": dict,
    "string": str,
}


def types_in_schema(section, key):
    """Types of a key's values in a run, with `auto` replaced."""
    schema = load_schema()["properties"][section]["properties"][key]
    found = set()
    for choice in (schema, *schema.get("oneOf", [])):
        named = choice.get("type", [])
        found |= {TYPES[name] for name in ([named] if isinstance(named, str) else named)}
        found |= {type(value) for value in [*choice.get("enum", []), *filter(None, [choice.get("const")])]}
    filled = [values[section, key] for values in AUTOMATIC.values() if (section, key) in values]
    return set(map(type, filled)) if len(filled) == len(AUTOMATIC) else found


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_is_a_key_of_its_section_with_its_type(kind, field):
    assert field in load_schema()["properties"][kind.SECTION]["properties"]
    annotation = get_type_hints(kind)[field]
    choices = [annotation] if get_origin(annotation) is list else get_args(annotation) or [annotation]
    assert {get_origin(choice) or choice for choice in choices} == types_in_schema(kind.SECTION, field)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_documented(kind):
    listed = re.findall(r"^([\w, ]+)$", inspect.getdoc(kind), re.M)
    documented = {name for line in listed for name in line.split(", ")}
    assert {field for of, field in FIELDS if of is kind} <= documented


def test_settings_hold_what_the_configuration_says():
    config = {"datasets": {}, "genes": {"n_variable": 50}}
    fill_defaults(config)
    chosen = GeneSettings(**settings_of(GeneSettings, config))
    assert chosen == settings_like(GeneSettings, n_variable=50)
    assert chosen.keep == []


def test_a_misspelt_key_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Misspelt:
        SECTION: ClassVar = "genes"

        n_variables: int

    config = {"datasets": {}}
    fill_defaults(config)
    with pytest.raises(KeyError, match="n_variables"):
        settings_of(Misspelt, config)
    with pytest.raises(TypeError, match="n_variables"):
        settings_like(GeneSettings, n_variables=50)
