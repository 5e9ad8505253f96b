"""The configuration: a reference by name, `pretrained: NAME@VERSION`, and the section `references`."""

import hashlib
import sys

import pytest
import yaml
from cellferry.config import named_reference
from cellferry.config.checks import find_problems
from cellferry.config.named_reference import locate_pretrained, with_located_reference
from cellferry.config.schema import fill_defaults
from cellferry.errors import InputError
from configurations import problems, small_config

FILE = "lung-1.0.cellferry.zip"


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration with a reference of its registry; nothing was fetched."""
    monkeypatch.chdir(tmp_path)
    config = small_config(tmp_path)
    del config["datasets"]["atlas"]
    write_registry(tmp_path / "refs.yaml", location="zenodo:1/lung.zip")
    references = {"registries": ["refs.yaml"], "cache": str(tmp_path / "cache")}
    return config | {"pretrained": "lung@1.0", "references": references}


def write_registry(path, **changes):
    entry = {
        "name": "lung",
        "version": "1.0",
        "location": "",
        "sha256": hashlib.sha256(b"packed").hexdigest(),
        "size": len(b"packed"),
        "license": "CC0-1.0",
        "description": "a lung",
    }
    path.write_text(yaml.safe_dump({"references": [entry | changes]}))


def put(folder, content=b"packed", name=FILE):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)


def located(config):
    """Value of `pretrained` in a job."""
    fill_defaults(config)
    locate_pretrained(config)
    return config["pretrained"]


def found(config):
    """Value of `pretrained` after the checks of the main process."""
    with_path, wrong = with_located_reference(config, [])
    assert wrong == []
    return with_path["pretrained"]


def test_a_cached_file_takes_the_place_of_the_name(config, tmp_path):
    path = put(tmp_path / "cache")
    assert found(config) == path
    assert config["pretrained"] == "lung@1.0"
    assert located(config) == path
    # The place of a file does not change results.
    assert "references" not in config


def test_so_does_one_in_the_mirror_which_comes_first(config, tmp_path):
    put(tmp_path / "cache")
    config["references"]["mirror"] = "mirror"
    put(tmp_path / "mirror")
    assert found(config) == located(config) == f"mirror/{FILE}"


def test_so_does_one_beside_its_registry(config, tmp_path):
    write_registry(tmp_path / "refs.yaml", location="files/any.cellferry.zip")
    said = problems(config)
    assert (
        "lung@1.0 was not fetched (looked in files/any.cellferry.zip); correct its location in refs.y" in said
    )
    put(tmp_path / "files", name="any.cellferry.zip")
    assert found(config) == located(config) == "files/any.cellferry.zip"


def test_what_looks_at_pretrained_sees_the_path(config, tmp_path):
    path = put(tmp_path / "cache")
    assert all("lung@1.0" not in str(problem) for problem in find_problems(config, config_files=[]))
    as_path = {**config, "pretrained": path}
    assert find_problems(config, config_files=[]) == find_problems(as_path, config_files=[])


def test_a_file_that_was_not_fetched(config, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("")
    said = problems(config, str(path))
    assert "has 1 problem(s)" in said
    assert (
        f"pretrained: lung@1.0 was not fetched (looked in the cache {tmp_path}/cache); "
        f"run `make fetch REFERENCE=lung@1.0 CONFIG={path} DIRECTORY={tmp_path}`" in said
    )
    assert f"CONFIG='{path} {path}' DIRECTORY" in problems(config, str(path), str(path))
    config["references"]["mirror"] = str(tmp_path)
    assert f"(looked in the mirror {tmp_path} and the cache {tmp_path}/cache); run" in problems(config)


@pytest.mark.parametrize("installed", [False, True])
def test_a_file_that_was_not_fetched_without_a_clone(config, tmp_path, monkeypatch, installed):
    project = tmp_path / "a copy"
    monkeypatch.setattr(named_reference, "PROJECT", project)
    monkeypatch.setattr(named_reference, "IS_INSTALLED", installed)
    command = f"{sys.executable} -m cellferry.commands.references --fetch lung@1.0 --directory {tmp_path}`"
    found_by = "" if installed else f"PYTHONPATH='{project}/scripts' "
    assert f"run `{found_by}{command}" in problems(config)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lungs@1.0", "no registry has a reference 'lungs' (did you mean 'lung'?); available: lung@1.0"),
        ("lung@1.1", "lung has no version 1.1 (did you mean '1.0'?); it has: 1.0"),
        ("lung@", "pretrained: 'lung@' has no version; give NAME@VERSION"),
        pytest.param("lung@" + "1" * 5000, "lung has no version 1111", id="long"),
        ("x y@1", "pretrained: there is no folder x y@1, and no registry has a reference 'x y'"),
    ],
)
def test_a_name_that_is_not_known(config, name, said):
    assert said in problems(config | {"pretrained": name})


def test_a_folder_with_such_a_name_is_a_folder(config, tmp_path):
    (tmp_path / "lung@1.0").mkdir()
    assert "lung@1.0 (looked in " in problems(config)
    assert "has no genes.tsv" in problems(config)
    assert located(config) == "lung@1.0"
    # Paths with folders are always paths.
    config = config | {"pretrained": "some/lung@1.0", "references": {}}
    assert located(config) == "some/lung@1.0"


@pytest.mark.parametrize("content", [b"damage", b"short"])
def test_a_damaged_file_is_found_before_the_first_job(config, tmp_path, content):
    path = put(tmp_path / "cache", content)
    said = problems(config)
    assert f"lung@1.0: {path} has " in said
    assert "but refs.yaml lists " in said
    assert f"run `make fetch REFERENCE=lung@1.0 DIRECTORY={tmp_path}` to fetch it again" in said
    # Jobs do not read the file to check it.
    assert located(config) == path


def test_a_file_that_is_gone_when_a_job_begins(config):
    with pytest.raises(InputError, match=r"lung@1\.0 was not fetched"):
        located(config)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            {"registries": ["nowhere.yaml"]},
            "nowhere.yaml: the registry cannot be read (No such file or directory)",
        ),
        ({"registries": "refs.yaml"}, "references.registries: 'refs.yaml' is not of type 'array'"),
        ({"mirror": "nowhere"}, "references.mirror: there is no folder nowhere (looked in "),
        (
            {"caches": "x"},
            "references: there is no key 'caches' (did you mean 'cache'?); all keys are in config/",
        ),
        ({"cache": ""}, "references.cache: '' "),
        (None, "references: None is not of type 'object'"),
    ],
)
@pytest.mark.parametrize("pretrained", ["lung@1.0", None])
def test_a_mistake_in_the_section_is_named(config, section, said, pretrained):
    listed = problems(config | {"pretrained": pretrained, "references": section})
    assert said in listed
    assert "genes.tsv" not in listed


def test_a_mistake_in_a_registry_is_named(config, tmp_path):
    write_registry(tmp_path / "refs.yaml", size="6 B")
    assert "refs.yaml, entry 1 (lung@1.0), size: '6 B' is not of type 'integer'" in problems(config)


def test_without_a_name_no_registry_is_read(config, tmp_path):
    config = small_config(tmp_path)
    assert find_problems(config, config_files=[]) == []
    assert located(config) is None
    assert "references" not in config
