"""make pack: required arguments, and results that it refuses."""

import pytest
from cellferry.commands.pack.__main__ import main
from cellferry.commands.pack.contents import REQUIRED

GIVEN = {"name": "blood", "version": "1", "license": "CC0-1.0"}


@pytest.fixture
def pack(tmp_path, capsys):
    (tmp_path / "results").mkdir()

    def run(**changed):
        given = {"results": tmp_path / "results", "output": tmp_path, **GIVEN, **changed}
        status = main([f"--{key}={value}" for key, value in given.items()])
        said = capsys.readouterr()
        assert (status, said.out) == (1, "")
        return said.err

    return run


def test_nobody_may_use_what_has_no_license(pack):
    assert "make pack: LICENSE= is missing" in pack(license=" ")


@pytest.mark.parametrize("name", ["", "../blood", "a b", "-x"])
def test_names_and_versions_are_plain(pack, name):
    assert f"NAME={name}: a name consists of letters, digits, '-' and '_'" in pack(name=name)
    assert f"VERSION={name}: a version consists of letters, digits, '.', '+' and '_'" in pack(version=name)


def test_a_folder_without_a_trained_reference(pack):
    said = pack()
    assert "results: has no genes.tsv, genes.json, reference/labels.json" in said
    assert "name the folder `results` of a finished run" in said


def test_nothing_is_overwritten(pack, tmp_path):
    for name in REQUIRED:
        (tmp_path / "results" / name).mkdir(parents=True)
    (tmp_path / "blood-1.cellferry.zip").write_text("mine")
    assert "blood-1.cellferry.zip exists; give another VERSION" in pack()
    assert (tmp_path / "blood-1.cellferry.zip").read_text() == "mine"
