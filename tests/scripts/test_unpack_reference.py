"""unpack_reference: files of a packed reference in their places, each what was packed."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cellferry.artifacts.features import Features
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact
from cellferry.config.providers import PACKED, reference_of
from cellferry.errors import InputError
from cellferry.heads.classifier import Classifier
from cellferry.mapping.encoder import Encoder
from cellferry.references.archive import HELD_OUT, identity_of, sha256_of, verify
from cellferry.references.registry import PROJECT
from unpack_reference import unpack_reference

TOY = PROJECT / "config/references/pbmc68k-demo-1.cellferry.zip"


def outputs_in(folder, archive=TOY):
    """The rule's outputs, in another folder than that of a run."""
    reference = reference_of({"pretrained": str(archive)})
    outputs = reference.unpacked_files | reference.unpacked_folders
    return {name: str(folder / path.removeprefix(f"{PACKED}/")) for name, path in outputs.items()}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    outputs = outputs_in(folder)
    unpack_reference(str(TOY), outputs, folder=str(folder))
    return folder, outputs


def test_every_file_is_the_one_that_was_packed(unpacked):
    folder, _ = unpacked
    members = verify(TOY).files
    made_of = {HELD_OUT}
    for name in members.keys() - made_of:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == members[name].sha256, name
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    new = {name for name in there - members.keys() if not name.startswith("mapped/validation/model/")}
    assert new == {"reference.json", "common/validation.h5ad"}


def test_it_says_which_reference_it_is(unpacked):
    _, outputs = unpacked
    assert identity_of(outputs["identity"]) == {
        "name": "pbmc68k-demo",
        "version": "1",
        "sha256": sha256_of(TOY),
    }
    assert json.loads(Path(outputs["identity"]).read_text())["license"] == "CC-BY-4.0"


def test_rules_can_use_what_is_there(unpacked):
    """Held-out cells are mapped, and judged by the classifiers."""
    _, outputs = unpacked
    features = read_artifact(Features, outputs["report"])
    with H5adReader(outputs["held_out"]) as cells:
        assert len(cells.var) == features.n_selected == 765
        encoder = Encoder.load(outputs["held_out_model"], cells.var.index)
        codes = np.array([encoder.batches.index(batch) for batch in cells.obs("batch")])
        counts, truth = cells.counts(0, cells.n_cells), cells.obs("label")
    heads = Classifier(outputs["classifier"], threads=1)
    found = heads.predict_block(encoder.latents(counts, codes), counts, intensities=False)
    best = np.array(heads.labels)[found.by_head["linear"].argmax(axis=1)]
    assert np.mean(best == truth) > 0.7
    Encoder.load(outputs["model"], encoder.genes)


def test_a_changed_archive_leaves_nothing(tmp_path):
    with zipfile.ZipFile(TOY) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    changed = tmp_path / "x.cellferry.zip"
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in (
            members | {"genes.tsv": members["genes.tsv"].replace(b"HES4", b"HES5")}
        ).items():
            archive.writestr(name, content)
    (tmp_path / "out").mkdir()
    outputs = outputs_in(tmp_path / "out", changed)
    with pytest.raises(
        InputError, match=r"x.cellferry.zip: .* \(genes.tsv differs from its checksum in reference.json\)"
    ):
        unpack_reference(str(changed), outputs, folder=str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
