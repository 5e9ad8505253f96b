"""Packed references: the same bytes each time, and any damage is detected."""

import json
import zipfile
from dataclasses import replace

import pytest
from cellferry.errors import InputError
from cellferry.references.archive import (
    MANIFEST,
    Manifest,
    file_name,
    is_packed,
    read_manifest,
    sha256_of,
    unpack,
    verify,
    write_archive,
)
from cellferry.references.registry import SHIPPED, read_registries
from cellferry.runs.methods import FORMAT_VERSION

ABOUT = Manifest(
    name="blood",
    version="1.0",
    license="CC-BY-4.0",
    modality="rna",
    n_genes=2,
    namespace="symbol",
    labels={"B cell": {"cells": 3, "batches": 1}, "T-Zelle ü": {"cells": 2, "batches": 1}},
    n_batches=1,
    scores={"accuracy": 0.9},
    settings={"heads": ["linear"]},
    made_with={"cellferry": "0.1.0"},
    missing=[],
    result_format=7,
)
CONTENTS = {
    "genes.tsv": b"gene\nCD3E\nMS4A1\n",
    "genes.json": b"{}",
    "reference/model/encoder.npz": bytes(range(256)) * 20,
    "reference/classifier/xgboost.ubj": b"",
}


@pytest.fixture
def files(tmp_path):
    written = {}
    for name, content in CONTENTS.items():
        written[name] = tmp_path / "made" / name
        written[name].parent.mkdir(parents=True, exist_ok=True)
        written[name].write_bytes(content)
    return written


@pytest.fixture
def archive(files, tmp_path):
    path = tmp_path / file_name("blood", "1.0")
    write_archive(path, ABOUT, files)
    return path


def edited(archive, change, *, about=None):
    """A copy with members changed by `change`: pairs of a name or `ZipInfo`, and content."""
    with zipfile.ZipFile(archive) as whole:
        members = {info.filename: whole.read(info) for info in whole.infolist()}
    manifest = json.loads(members[MANIFEST])
    if about is not None:
        about(manifest)
        members[MANIFEST] = json.dumps(manifest).encode()
    path = archive.with_name("edited.cellferry.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in change(members):
            whole.writestr(name, content)
    return path


def test_it_says_what_it_is_and_holds_what_was_packed(archive, tmp_path):
    assert archive.name == "blood-1.0.cellferry.zip"
    assert is_packed(str(archive))
    manifest = unpack(archive, tmp_path / "out")
    assert manifest == verify(archive) == read_manifest(archive)
    assert replace(manifest, files={}) == ABOUT
    assert manifest.full_name == "blood@1.0"
    assert not manifest.has_held_out
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert found == CONTENTS


def test_the_same_files_make_the_same_bytes(archive, files, tmp_path):
    again = tmp_path / "again.cellferry.zip"
    write_archive(again, ABOUT, dict(reversed(files.items())))
    assert sha256_of(again) == sha256_of(archive)


def test_no_byte_can_change_what_is_read(archive, tmp_path):
    """Any changed byte is refused, or leaves manifest and contents as they were."""
    whole, told = archive.read_bytes(), verify(archive)
    path = tmp_path / "changed.cellferry.zip"
    said = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            assert verify(path) == told
        except InputError as error:
            said.append(str(error))
    assert all(str(path) in each for each in said)
    assert len(said) > len(whole) / 2


def test_a_truncated_one_is_refused(archive, tmp_path):
    whole = archive.read_bytes()
    path = tmp_path / "short.cellferry.zip"
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(
            InputError, match=r"short.cellferry.zip: is not a packed reference, or was changed"
        ):
            verify(path)


def link(members):
    info = zipfile.ZipInfo("genes.tsv")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return [
        (info, members["genes.tsv"]) if name == "genes.tsv" else (name, members[name]) for name in members
    ]


CHANGES = {
    "a path out of it": (lambda m: [*m.items(), ("../evil.json", b"{}")], r"'../evil.json' is not a file of"),
    "an absolute path": (lambda m: [*m.items(), ("/etc/passwd", b"")], r"'/etc/passwd' is not a file of"),
    "a pickle": (
        lambda m: [*m.items(), ("reference/model/model.pt", b"")],
        r"'reference/model/model.pt' is not a file",
    ),
    "a hidden path": (
        lambda m: [*m.items(), ("reference/model/../../x.npz", b"")],
        r"is not a file of a reference",
    ),
    "a member that is not listed": (
        lambda m: [*m.items(), ("held_out.npz", b"")],
        r"held_out.npz is not listed",
    ),
    "a member less": (
        lambda m: [(k, v) for k, v in m.items() if k != "genes.json"],
        r"genes.json is missing",
    ),
    "a member twice": (lambda m: [*m.items(), ("genes.json", b"{}")], r"genes.json occurs twice"),
    "other content": (lambda m: (m | {"genes.json": b"[]"}).items(), r"genes.json differs from its checksum"),
    "more content": (
        lambda m: (m | {"genes.json": b"{} "}).items(),
        r"genes.json has 3 bytes instead of 2",
    ),
    "a link": (link, r"genes.tsv is not a regular file"),
    "no manifest": (lambda m: [(k, v) for k, v in m.items() if k != MANIFEST], r"reference.json is missing"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_do_not_belong_are_refused(archive, tmp_path, change):
    how, said = CHANGES[change]
    with pytest.raises(InputError, match=said):
        unpack(edited(archive, how), tmp_path / "out")


ABOUTS = {
    "a newer format": (
        lambda m: m.update(format=2),
        r"by a newer version of cellferry \(format 2; .* reads 1\)",
    ),
    "no format": (lambda m: m.pop("format"), r"has no format"),
    "no name": (lambda m: m.pop("name"), r"has name: None"),
    "a name that is a path": (lambda m: m.update(name="../x"), r"has name: '../x'"),
    "a field too many": (lambda m: m.update(more=1), r"has more: 1"),
    "a field of another type": (lambda m: m.update(n_genes="2"), r"has n_genes: '2'"),
    "a field too few": (lambda m: m.pop("missing"), r"missing"),
    "a member without a checksum": (lambda m: m["files"]["genes.tsv"].pop("sha256"), r"sha256"),
    "another checksum": (
        lambda m: m["files"]["genes.tsv"].update(sha256="0"),
        r"genes.tsv differs from its checksum",
    ),
    "a member that is a number": (lambda m: m["files"].update({"genes.tsv": 3}), r"reference.json"),
    "a list": (lambda m: m.update(files=[]), r"has files: \[\]"),
}


@pytest.mark.parametrize("about", ABOUTS)
def test_what_it_says_of_itself_is_checked(archive, about):
    how, said = ABOUTS[about]
    with pytest.raises(InputError, match=said):
        verify(edited(archive, lambda members: members.items(), about=how))


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(archive):
    """The size in the archive's own list is also wrong: no more bytes are read."""
    path = edited(archive, lambda m: (m | {"genes.json": b"0" * 50_000_000}).items())
    size = (50_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (2).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"edited.cellferry.zip: is not a packed reference, or was changed"):
        verify(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x05\x06" + b"\0" * 18])
def test_another_file_is_no_reference(tmp_path, content):
    path = tmp_path / "x.cellferry.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x.cellferry.zip: is not a packed reference"):
        verify(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, said in ((tmp_path / "no.cellferry.zip", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=said):
            verify(path)


def test_the_toy_that_is_shipped_is_what_the_registry_says():
    (toy,) = read_registries([SHIPPED])
    path = SHIPPED.parent / toy.location
    assert (toy.size, toy.sha256) == (path.stat().st_size, sha256_of(path))
    manifest = verify(path)
    assert (manifest.full_name, manifest.license) == (str(toy), toy.license)
    assert manifest.result_format == FORMAT_VERSION, "pack it again: docs/references.md says how it was made"
    assert manifest.has_held_out
