"""`make fetch` and `make references`: their output, and the configuration that they read."""

import hashlib

import pytest
import yaml
from cellferry.commands.references import main
from cellferry.config import named_reference
from moody_server import CONTENT, PATH, Answer, serving


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a configuration, a registry of two versions, and a server with their file."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(named_reference, "SHIPPED", tmp_path / "shipped.yaml")
    (tmp_path / "shipped.yaml").write_text("references: []\n")
    with serving() as server:
        server.tell(PATH, Answer(CONTENT))
        entry = {
            "name": "lung",
            "version": "1.0",
            "location": server.address + PATH,
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "size": len(CONTENT),
            "license": "CC-BY-4.0",
            "description": "Healthy lung",
        }
        heart = {**entry, "name": "heart", "location": "heart.cellferry.zip", "size": 12_345_678}
        entries = [entry, {**entry, "version": "1.1"}, heart]
        (tmp_path / "refs.yaml").write_text(yaml.safe_dump({"references": entries}))
        (tmp_path / "config.yaml").write_text(
            "references: {registries: [refs.yaml], cache: cache}\ndatasets: 5\n"
        )
        yield tmp_path


def command(folder, *arguments, config="config.yaml"):
    return main(["--config", str(folder / config), "--directory", str(folder), *arguments])


def test_a_reference_is_fetched_and_listed(folder, capsys):
    assert command(folder, "--fetch", "lung@1.0") == 0
    assert (folder / "cache" / "lung-1.0.cellferry.zip").read_bytes() == CONTENT
    said = capsys.readouterr().out
    assert "lung@1.0: Healthy lung (0.5 MB, CC-BY-4.0)\n" in said
    assert ": fetched, checksum correct. In a configuration:  pretrained: lung@1.0\n" in said
    assert command(folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name   version  MB    license    file   description",
        "lung   1.0      0.5   CC-BY-4.0  cache  Healthy lung",
        "lung   1.1      0.5   CC-BY-4.0  -      Healthy lung",
        "heart  1.0      12.3  CC-BY-4.0  -      Healthy lung",
        f"cache: {folder}/cache",
    ]


def test_files_elsewhere_are_listed(folder, capsys):
    (folder / "heart.cellferry.zip").write_bytes(bytes(12_345_678))
    (folder / "mirror").mkdir()
    (folder / "mirror" / "lung-1.1.cellferry.zip").write_bytes(CONTENT)
    (folder / "more.yaml").write_text("references: {mirror: mirror}")
    assert (
        main(
            [
                "--directory",
                str(folder),
                "--config",
                *(str(folder / name) for name in ("config.yaml", "more.yaml")),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "lung   1.1      0.5   CC-BY-4.0  mirror  Healthy lung" in said
    assert "heart  1.0      12.3  CC-BY-4.0  path    Healthy lung" in said
    assert said.endswith(f"cache: {folder}/cache, mirror: mirror\n")
    (folder / "heart.cellferry.zip").write_bytes(b"short")
    command(folder)
    assert "heart  1.0      12.3  CC-BY-4.0  -" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "REFERENCE= is missing; name one of those that `make references` lists"),
        ("lung", "lung has the versions 1.0, 1.1; name one: lung@1.1"),
        ("long@1.0", "no registry has a reference 'long' (did you mean 'lung'?); available: lung@1.0"),
        (
            "heart",
            "heart@1.0: there is no file heart.cellferry.zip, its location in refs.yaml; put it",
        ),
    ],
)
def test_what_cannot_be_fetched(folder, capsys, name, said):
    assert command(folder, "--fetch", name) == 1
    assert f"make fetch: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("references: {registry: x}", "references: there is no key 'registry' (did you mean 'registries'?)"),
        ("references: 5", "references: 5 is not of type 'object'"),
        ("references: [", "is not valid YAML ("),
        ("seed: 1\nseed: 2", "the key 'seed' is given twice"),
        ("references: {registries: [other.yaml]}", "other.yaml: the registry cannot be read"),
        ("references: {mirror: nowhere}", "references.mirror: there is no folder nowhere"),
    ],
)
def test_a_configuration_with_a_mistake(folder, capsys, text, said):
    (folder / "config.yaml").write_text(text)
    assert command(folder) == 1
    message = capsys.readouterr().err
    assert message.startswith("make references: ")
    assert said in message


def test_a_configuration_that_is_not_there(folder, capsys):
    assert command(folder, config="nowhere.yaml") == 1
    assert (
        "nowhere.yaml: the configuration cannot be read (No such file or directory); name one with CONFIG="
        in (capsys.readouterr().err)
    )
    assert main(["--config", str(folder / "config.yaml"), "--directory", str(folder / "nowhere")]) == 1
    assert "no such folder; name another" in capsys.readouterr().err


def test_a_configuration_of_text_that_is_empty_or_says_nothing_of_references(folder, capsys):
    for text in ("", "text", "datasets: {}"):
        (folder / "config.yaml").write_text(text)
        assert command(folder) == 0
        assert "\ncache: " in f"\n{capsys.readouterr().out}"
