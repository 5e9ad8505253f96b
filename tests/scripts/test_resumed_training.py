"""A training that was killed and resumed equals an uninterrupted one, bit for bit."""

import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cellferry.config.settings import ModelSettings
from cellferry.model.checkpoints import Checkpoints
from cellferry.model.store import ResumableSampler
from cellferry.model.training_progress import TrainingProgress
from cellferry.resources.budget import Budget
from cellferry.runs.hashes import of_files
from simulate import settings_like
from train_reference_model import train_reference_model

FOLDERS = [str(Path(__file__).parents[1] / name) for name in ("../scripts", "", "scripts")]
SETTINGS = settings_like(ModelSettings, epochs=4, n_hidden=16, n_latent=4, n_layers=1)
SCANVI = {"type": "scanvi", "epochs": 2, "scanvi_epochs": 3}
STOPS_EARLY = {"epochs": 60, "patience": 2, "learning_rate": 0.05}
MINIBATCHES = 5
"""Minibatches per epoch."""


class DeathError(Exception):
    """Death of a process, without a signal; the same files are left on the disk."""


def train(store, out, **settings):
    out.mkdir(exist_ok=True)
    train_reference_model(
        str(store),
        model=str(out / "model"),
        history=str(out / "history.csv"),
        checkpoints=str(out / "checkpoints"),
        settings=replace(SETTINGS, **settings),
        seed=0,
        threads=1,
        gpu=0,
        minutes=60,
        budget=Budget(4000),
    )


def let_die(monkeypatch, moment, how):
    """Let trainings die at the start of a minibatch; a moment is a phase, epoch and minibatch."""
    begin = TrainingProgress.on_train_batch_start

    def begin_or_die(self, trainer, module, batch, batch_idx):
        begin(self, trainer, module, batch, batch_idx)
        if (type(module.module).__name__, trainer.current_epoch, batch_idx) == moment:
            how()

    monkeypatch.setattr(TrainingProgress, "on_train_batch_start", begin_or_die)


def die():
    raise DeathError


def train_and_be_killed(store, out, *moment):
    """Body of a separate process, which writes states at every minibatch and is killed at a moment."""
    monkeypatch = pytest.MonkeyPatch()
    write_states(monkeypatch, within=0)
    let_die(monkeypatch, moment, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(store, out, **SCANVI)


def write_states(monkeypatch, *, between=0.0, within=600.0):
    monkeypatch.setattr("cellferry.model.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", between)
    monkeypatch.setattr("cellferry.model.checkpoints.SECONDS_WITHIN_AN_EPOCH", within)


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    """Folder of an uninterrupted training, one per settings."""
    folders = {}

    def folder(settings):
        key = tuple(settings.items())
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("undisturbed")
            train(trained.folder / "store.zarr", folders[key], **settings)
        return folders[key]

    return folder


def assert_same(found, expected):
    """Weights, losses and all other files of the model are the same bit for bit."""
    assert (found / "history.csv").read_bytes() == (expected / "history.csv").read_bytes()
    assert of_files(found / "model") == of_files(expected / "model")
    losses, expected_losses = (
        torch.load(folder / "model" / "model.pt", weights_only=False)["attr_dict"]["history_"]
        for folder in (found, expected)
    )
    assert losses.keys() == expected_losses.keys()
    for name in losses:
        pd.testing.assert_frame_equal(losses[name], expected_losses[name], check_exact=True)


@pytest.mark.parametrize(
    ("settings", "moment", "within", "times"),
    [
        pytest.param({}, ("VAE", 0, 2), 0, 1, id="within the first epoch"),
        pytest.param({}, ("VAE", 2, 3), 0, 1, id="within an epoch"),
        pytest.param({}, ("VAE", 2, 3), 0, 2, id="within an epoch, twice"),
        pytest.param({}, ("VAE", 2, MINIBATCHES - 1), 0, 1, id="before the last minibatch of an epoch"),
        pytest.param({}, ("VAE", 2, 0), 600, 1, id="right after an epoch"),
        pytest.param({}, ("VAE", 2, 3), 600, 1, id="within an epoch, whose start is the last state"),
        pytest.param(SCANVI, ("SCANVAE", 0, 1), 600, 1, id="before the second phase has a state"),
        pytest.param(SCANVI, ("SCANVAE", 1, 2), 0, 1, id="within the second phase"),
    ],
)
def test_killed_at_a_minibatch(trained, tmp_path, monkeypatch, undisturbed, settings, moment, within, times):
    store = trained.folder / "store.zarr"
    for _ in range(times):
        with monkeypatch.context() as patch:
            write_states(patch, within=within)
            let_die(patch, moment, die)
            with pytest.raises(DeathError):
                train(store, tmp_path, **settings)
    train(store, tmp_path, **settings)
    assert_same(tmp_path, undisturbed(settings))


def test_killed_when_early_stopping_has_just_ended_it(trained, tmp_path, monkeypatch, undisturbed):
    store = trained.folder / "store.zarr"
    with monkeypatch.context() as patch:
        write_states(patch)
        patch.setattr(Checkpoints, "on_train_end", lambda *_: die())
        with pytest.raises(DeathError):
            train(store, tmp_path, **STOPS_EARLY)
    train(store, tmp_path, **STOPS_EARLY)
    assert 2 < len(pd.read_csv(tmp_path / "history.csv")) < 60
    assert_same(tmp_path, undisturbed(STOPS_EARLY))


def flip(path):
    with zipfile.ZipFile(path) as parts:
        largest = max(parts.infolist(), key=lambda part: part.file_size)
        content = bytearray(path.read_bytes())
        content[content.index(parts.read(largest)) + largest.file_size // 2] ^= 1
    path.write_bytes(content)


def cut_off(path):
    os.truncate(path, path.stat().st_size - 100)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [flip, cut_off, empty])
def test_a_damaged_state_is_told_and_not_taken_up(trained, tmp_path, monkeypatch, undisturbed, capsys, harm):
    store = trained.folder / "store.zarr"
    with monkeypatch.context() as patch:
        write_states(patch)
        let_die(patch, ("VAE", 2, 1), die)
        with pytest.raises(DeathError):
            train(store, tmp_path)
    (state,) = (tmp_path / "checkpoints").glob("*/state.ckpt")
    harm(state)
    train(store, tmp_path)
    said = capsys.readouterr().out
    assert f"{state}: is damaged (" in said
    assert "the training restarts" in said
    assert_same(tmp_path, undisturbed({}))


def test_killed_before_the_model_is_saved(trained, tmp_path, monkeypatch, undisturbed):
    store = trained.folder / "store.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(scvi.model.SCANVI, "save", lambda *_: die())
        with pytest.raises(DeathError):
            train(store, tmp_path, **SCANVI)
    train(store, tmp_path, **SCANVI)
    assert_same(tmp_path, undisturbed(SCANVI))


def test_a_process_is_killed_and_another_goes_on(trained, tmp_path, undisturbed):
    program = (
        "import sys; from pathlib import Path; from test_resumed_training import train_and_be_killed\n"
        "train_and_be_killed(Path(sys.argv[1]), Path(sys.argv[2]), 'VAE', 1, 3)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(trained.folder / "store.zarr"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(FOLDERS), "PYTHONHASHSEED": "random"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    train(trained.folder / "store.zarr", tmp_path, **SCANVI)
    assert_same(tmp_path, undisturbed(SCANVI))


@pytest.mark.parametrize("done", range(12))
def test_minibatches_go_on_anywhere_in_a_pass(done):
    """90 cells in pieces of 32: pieces are left out, begun and whole. The next pass is compared too."""

    def sampler():
        pieces = {"chunk_size": 16, "preload_nchunks": 2, "batch_size": 8}
        return ResumableSampler(**pieces, mask=slice(10, 100), rng=np.random.default_rng(0))

    def cells(piece, minibatch):
        of_piece = np.concatenate([np.arange(part.start, part.stop) for part in piece["requests"]])
        return of_piece[minibatch].tolist()

    def passes(sampler, number):
        pieces = (piece for _ in range(number) for piece in sampler.sample(100))
        return [cells(piece, minibatch) for piece in pieces for minibatch in piece["splits"]]

    expected = passes(sampler(), 3)
    assert len(expected) == 36
    killed, resumed = sampler(), sampler()
    passes(killed, 1)
    for _, _ in zip(range(done), (m for piece in killed.sample(100) for m in piece["splits"]), strict=False):
        pass
    resumed.resume(killed.state(done))
    assert passes(resumed, 2) == expected[12 + done :]
