"""Registries of references: format, mistakes, and references by name."""

import os
import re
from pathlib import Path

import pytest
import yaml
from cellferry.errors import InputError
from cellferry.references.locations import address_of
from cellferry.references.registry import SHIPPED, find, load_schema, read_registries
from jsonschema import Draft202012Validator

ENTRY = {
    "name": "lung",
    "version": "1.0",
    "location": "zenodo:1234567/lung-1.0.cellferry.zip",
    "sha256": "ab" * 32,
    "size": 1000,
    "license": "CC-BY-4.0",
    "description": "Healthy lung",
}


@pytest.fixture
def write(tmp_path):
    """Function that writes a registry of entries, or of text."""

    def write_registry(*entries, name="refs.yaml", text=None):
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"references": list(entries)}) if text is None else text)
        return path

    return write_registry


def entry(**changes):
    return {key: value for key, value in (ENTRY | changes).items() if value is not None}


def problems(*paths):
    with pytest.raises(InputError) as raised:
        read_registries(paths)
    return str(raised.value)


def test_an_entry_is_a_reference(write):
    path = write(entry(sha256="AB" * 32, size=1e3))
    (lung,) = read_registries([path])
    assert str(lung) == "lung@1.0"
    assert lung.file_name == "lung-1.0.cellferry.zip"
    assert (lung.sha256, lung.size) == ("ab" * 32, 1000)
    assert isinstance(lung.size, int)
    assert lung.path is None
    assert lung.registry == path


def test_a_path_is_relative_to_the_registry(write, tmp_path):
    (lung,) = read_registries([write(entry(location="../files/lung.cellferry.zip"))])
    assert lung.path == tmp_path / "../files/lung.cellferry.zip"
    assert lung.address is None
    (lung,) = read_registries([write(entry(location="/data/lung.cellferry.zip"))])
    assert lung.path == Path("/data/lung.cellferry.zip")


def test_versions_are_what_is_written(write):
    text = yaml.safe_dump({"references": [entry()]})
    for version in ("1.10", "2024", "1_0", "1e5"):
        text_of_version = re.sub("version: .*", f"version: {version}", text)
        (lung,) = read_registries([write(text=text_of_version)])
        assert lung.version == version
    digits = re.sub("sha256: .*", f"sha256: {'1' * 64}", text)
    assert read_registries([write(text=digits)])[0].sha256 == "1" * 64


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "abc"}, "refs.yaml, entry 1 (lung@1.0), sha256: 'abc' does not match"),
        (
            {"sha256": None},
            "refs.yaml, entry 1 (lung@1.0): the key 'sha256' is missing; see docs/references.md",
        ),
        (
            {"sha": "abc"},
            "there is no key 'sha' (did you mean 'sha256'?); all keys are in docs/references.md",
        ),
        ({"licence": "MIT"}, "there is no key 'licence' (did you mean 'license'?)"),
        (
            {"size": "12 MB"},
            "entry 1 (lung@1.0), size: '12 MB' is not of type 'integer'. Size of the file in bytes.",
        ),
        ({"size": 0}, "size: 0 is less than the minimum of 1"),
        ({"version": "1-0"}, "entry 1 (lung@1-0), version: '1-0' does not match"),
        ({"version": None, "name": None}, "entry 1: the key 'name' is missing"),
        ({"name": "../lung"}, "name: '../lung' does not match"),
        ({"name": ["lung"]}, "name: ['lung'] is not of type 'string'"),
        ({"description": "two\nlines"}, "description: 'two\\nlines' does not match"),
        (
            {"location": "s3://bucket/lung.zip"},
            "location: 's3://bucket/lung.zip' is not a path, https://…, zenodo:",
        ),
        (
            {"location": "http://example.org/x"},
            "is not encrypted: use https; http is for this machine",
        ),
        ({"location": "zenodo:lung.zip"}, "location: 'zenodo:lung.zip' is not a path"),
        ({"location": "hf:me/lung/lung.zip"}, "location: 'hf:me/lung/lung.zip' is not a path"),
        (
            {"location": "lung.zip"},
            "location: 'lung.zip' is a path that does not end in .cellferry.zip; see docs",
        ),
        ({"location": "https:///x"}, "location: 'https:///x' is not a valid address"),
        ({"location": "https://me:pw@example.org/x"}, "contains a user name or password"),
    ],
)
def test_a_mistake_is_named_with_its_place(write, changes, said):
    assert said in problems(write(entry(**changes)))


def test_all_problems_of_all_registries_are_listed(write, tmp_path):
    first = write(entry(size=0), entry(name="heart", sha256="x"), name="a.yaml")
    said = problems(first, write(entry(license=None), name="b.yaml"), tmp_path / "c.yaml")
    assert said.startswith("registries have 4 problem(s):\n  - ")
    assert "a.yaml, entry 1 (lung@1.0), size: " in said
    assert "a.yaml, entry 2 (heart@1.0), sha256: " in said
    assert "b.yaml, entry 1 (lung@1.0): the key 'license' is missing" in said
    assert "c.yaml: the registry cannot be read (No such file or directory); correct the path" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "None is not of type 'object'"),
        ("- name: lung", "is not of type 'object'"),
        ("references:", "refs.yaml, references: None is not of type 'array'"),
        ("references: [lung]", "refs.yaml, entry 1: 'lung' is not of type 'object'"),
        ("reference: []", "there is no key 'reference' (did you mean 'references'?)"),
        ("references: [", "refs.yaml: the registry is not valid YAML ("),
        ("references: []\n1: x", "refs.yaml: the name 1 is not text"),
        (
            "references: &a [*a]",
            "refs.yaml: the registry has a YAML alias (*name); write out its value",
        ),
        ("references: {a: {1: x}}", "refs.yaml, references, a: the name 1 is not text"),
        ("other: [{a: {1: x}}]", "refs.yaml, other, 0, a: the name 1 is not text"),
        pytest.param("[" * 5000, "refs.yaml: the registry is not valid YAML (", id="deep"),
        ("references: [{1: x}]", "refs.yaml, entry 1: the name 1 is not text"),
        ("references: []\nreferences: []", "line 2: the key 'references' is given twice in one place"),
        ("references: [{name: a, name: b}]", "line 1: the key 'name' is given twice in one place"),
    ],
)
def test_a_file_that_is_no_registry(write, text, said):
    assert said in problems(write(text=text))


def test_a_registry_of_other_letters_or_of_none(tmp_path):
    path = tmp_path / "refs.yaml"
    path.write_bytes("references: [] # é".encode("latin1"))
    assert "refs.yaml: the registry is not valid YAML ('utf-8' codec" in problems(path)
    assert f"{tmp_path}: the registry cannot be read (Is a directory)" in problems(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is a named pipe" in problems(tmp_path / "pipe")


def test_a_version_has_one_file(write):
    said = problems(write(entry(), entry(name="heart"), entry(sha256="cd" * 32)))
    assert "refs.yaml, entry 3 (lung@1.0): lung@1.0 is already entry 1; change its version" in said
    one, other = write(entry(), name="a.yaml"), write(entry(sha256="cd" * 32), name="b.yaml")
    assert f"{other}, lung@1.0: {one} has another file (sha256) for lung@1.0" in problems(one, other)


def test_of_the_same_file_in_two_registries_the_first_says_where_it_is(write):
    one, other = write(entry(location="lung.cellferry.zip"), name="a.yaml"), write(entry(), name="b.yaml")
    (lung,) = read_registries([one, other, one])
    assert lung.registry == one


def test_the_shipped_registry_and_the_form_that_it_shows():
    Draft202012Validator.check_schema(load_schema())
    read_registries([SHIPPED])
    text = SHIPPED.read_text(encoding="utf-8")
    example = "\n".join(line.removeprefix("#") for line in text.splitlines() if re.match("#   [ -] ", line))
    assert Draft202012Validator(load_schema()).is_valid({"references": yaml.safe_load(example)})


# ---- Names


@pytest.fixture
def known(write):
    versions = [entry(version=version) for version in ("1.0", "1.1")]
    return read_registries([write(*versions, entry(name="heart"))])


def test_a_reference_is_found_by_its_name(known):
    assert str(find("lung@1.1", known)) == "lung@1.1"
    assert str(find("heart", known)) == "heart@1.0"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lung", "lung has the versions 1.0, 1.1; name one: lung@1.1"),
        ("lung@1.2", "lung has no version 1.2 (did you mean '1.1'?); it has: 1.0, 1.1"),
        (
            "lungs@1.0",
            "no registry has a reference 'lungs' (did you mean 'lung'?); available: lung@1.0, lung@1.1, "
            "heart@1.0",
        ),
        ("", "no registry has a reference ''; available: lung@1.0, lung@1.1, heart@1.0"),
    ],
)
def test_a_name_that_is_not_known(known, name, said):
    with pytest.raises(InputError) as raised:
        find(name, known)
    assert str(raised.value) == said


def test_of_many_references_some_are_listed(write):
    known = read_registries([write(*(entry(name=f"organ{number}") for number in range(30)))])
    with pytest.raises(InputError, match=r"organ9@1\.0 and 20 more \(make references\)"):
        find("x", known)
    with pytest.raises(InputError, match="available: none"):
        find("x", [])


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("zenodo:123/lung 1.zip", "https://zenodo.org/records/123/files/lung%201.zip?download=1"),
        ("hf:me/lung/a/lung.zip@v1", "https://huggingface.co/me/lung/resolve/v1/a/lung.zip"),
        ("hf:me/lung/lung.zip@refs/pr/1", "https://huggingface.co/me/lung/resolve/refs%2Fpr%2F1/lung.zip"),
        ("hf:datasets/me/lung/l.zip@v1", "https://huggingface.co/datasets/me/lung/resolve/v1/l.zip"),
        ("https://example.org/a?b=c", "https://example.org/a?b=c"),
        ("http://localhost:8000/a", "http://localhost:8000/a"),
        ("http://[::1]:8000/a", "http://[::1]:8000/a"),
        ("lung.zip", None),
        ("/data/lung.zip", None),
        ("./a:b.zip", None),
    ],
)
def test_locations_and_their_addresses(location, address):
    assert address_of(location) == address
