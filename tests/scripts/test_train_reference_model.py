"""train_reference_model: an ordinary scvi-tools model, trained from disk, that resumes when killed."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from cellferry.artifacts.json_files import write_artifact
from cellferry.artifacts.labels import LabelCells, ReferenceLabels
from cellferry.config.settings import SurgerySettings
from cellferry.errors import InputError
from cellferry.heads.scanvi import ScanviHead
from cellferry.labels.levels import hierarchy_of_parents
from cellferry.model.checkpoints import Checkpoints
from cellferry.model.scvi_models import (
    UNLABELED,
    LabeledCellsPlan,
    balance_labels,
    new_model,
    scanvi_from_scvi,
    skeleton,
)
from cellferry.resources.budget import Budget
from cellferry.resources.schedule import minibatch_size, reference_epochs
from fit_query_model import fit_query_model
from map_query import map_query
from simulate import settings_like, simulate_cells, write_cells
from told import tells_progress
from train_reference_model import train_reference_model


def train(trained, out, *, minutes=60, mem_mb=4000, labels=None, **settings):
    train_reference_model(
        str(trained.folder / "store.zarr"),
        model=str(out / "model"),
        history=str(out / "history.csv"),
        checkpoints=str(out / "checkpoints"),
        settings=replace(trained.settings, **settings),
        seed=0,
        threads=1,
        gpu=0,
        minutes=minutes,
        budget=Budget(mem_mb),
        labels=labels,
    )
    return pd.read_csv(out / "history.csv")


def as_query(cells, batch):
    """Cells as users of the model outside this workflow have them."""
    query = cells.copy()
    query.obs["batch"] = batch
    return query


def test_loss_falls_and_history_is_whole(trained):
    history = pd.read_csv(trained.folder / "history.csv")
    assert list(history["epoch"]) == [0, 1, 2, 3, 4]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert history["validation_loss"].notna().all()


def test_the_log_tells_how_far_it_is_with_the_loss_and_little_else(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cellferry.core.progress.SECONDS_BETWEEN_LINES", 0.05)
    train(trained, tmp_path, epochs=30)
    log = capsys.readouterr().out
    assert tells_progress(log, "trained on")
    last = [line for line in log.splitlines() if line.startswith("trained on")][-1]
    assert re.search(r"^trained on 17,100 cells in .*; epoch 30 of at most 30: loss \d+\.\d, on", last)
    monkeypatch.setattr("cellferry.core.progress.SECONDS_BETWEEN_LINES", 30)
    train(trained, tmp_path / "again", epochs=31)
    assert len(capsys.readouterr().out.splitlines()) < 10


def test_a_training_that_goes_on_tells_its_own_rate(trained, tmp_path, monkeypatch, capsys):
    save = Checkpoints.on_train_epoch_start

    def save_then_die(self, trainer, module):
        save(self, trainer, module)
        if trainer.current_epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cellferry.model.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(Checkpoints, "on_train_epoch_start", save_then_die)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(trained, tmp_path, epochs=6)
    monkeypatch.setattr(Checkpoints, "on_train_epoch_start", save)
    capsys.readouterr()
    train(trained, tmp_path, epochs=6)
    # 570 of the 600 cells are trained on; three epochs were done before.
    told = re.findall(r"^trained on ([\d,]+) (?:of at most 3,420 )?cells", capsys.readouterr().out, re.M)
    assert 3 * 570 < int(told[0].replace(",", "")) < 4 * 570
    assert told[-1] == "3,420"


def test_a_training_killed_after_its_last_epoch_is_not_done_again(trained, tmp_path, monkeypatch):
    history = train(trained, tmp_path, epochs=2)
    shutil.rmtree(tmp_path / "model")  # Snakemake removes the outputs of a job that was killed
    monkeypatch.setattr(Checkpoints, "on_train_epoch_end", lambda *_: pytest.fail("trained again"))
    again = train(trained, tmp_path, epochs=2)
    pd.testing.assert_frame_equal(again, history)
    assert (tmp_path / "model").exists()


def test_model_opens_outside_this_workflow_and_takes_a_query(trained):
    query = as_query(simulate_cells(100, n_genes=60, seed=5), "somebody's own")
    model = scvi.model.SCVI.load_query_data(query, str(trained.folder / "model"))
    model.train(max_epochs=1, plan_kwargs={"weight_decay": 0.0}, accelerator="cpu")
    assert model.get_latent_representation().shape == (100, 4)


def test_model_loads_with_the_reference(trained):
    cells = as_query(trained.cells, [f"atlas/{sample}" for sample in trained.cells.obs["sample"]])
    model = scvi.model.SCVI.load(str(trained.folder / "model"), adata=cells)
    assert model.get_latent_representation().shape == (600, 4)


def test_killed_training_resumes(trained, tmp_path, monkeypatch, capsys):
    save, epochs_begun = Checkpoints.on_train_epoch_start, []

    def save_then_die(self, trainer, module):
        save(self, trainer, module)
        epochs_begun.append(trainer.current_epoch)
        if epochs_begun == [0, 1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "on_train_epoch_start", save_then_die)
    monkeypatch.setattr("cellferry.model.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", 0)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(trained, tmp_path, epochs=6)
    assert not (tmp_path / "model").exists()
    history = train(trained, tmp_path, epochs=6)
    assert epochs_begun == [0, 1, 2, 3, 3, 4, 5]
    assert list(history["epoch"]) == [0, 1, 2, 3, 4, 5]
    assert "resuming after epoch 3" in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["time is short", "the last state is old"])
def test_a_state_is_written_within_an_epoch(trained, tmp_path, monkeypatch, capsys, reason):
    at_start_of_batch, batches_begun = Checkpoints.on_train_batch_start, []

    def die_a_little_later(self, trainer, *arguments):
        batches_begun.append((trainer.current_epoch, arguments[-1]))
        if batches_begun[-1] == (1, 2):
            if reason == "time is short":
                self._time_is_short = 0
            else:
                self._last_written = -1e9
        at_start_of_batch(self, trainer, *arguments)
        if batches_begun[0] == (0, 0) and batches_begun[-1] == (1, 4):
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "on_train_batch_start", die_a_little_later)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(trained, tmp_path, epochs=4)
    assert ("time is short" in capsys.readouterr().out) == (reason == "time is short")
    batches = len({batch for epoch, batch in batches_begun if epoch == 0})
    batches_begun.clear()
    history = train(trained, tmp_path, epochs=4)
    assert list(history["epoch"]) == [0, 1, 2, 3]
    # The rest of the epoch that was begun, and no more of it.
    assert [batch for epoch, batch in batches_begun if epoch == 1] == list(range(2, batches))


@pytest.mark.parametrize(("minutes", "written"), [(60, False), (0.0001, True)])
def test_time_is_short_at_the_end_of_what_the_job_was_given(trained, tmp_path, capsys, minutes, written):
    train(trained, tmp_path, epochs=1, minutes=minutes)
    assert ("time is short" in capsys.readouterr().out) == written


def test_training_killed_while_it_is_refined_does_not_begin_anew(trained, tmp_path, monkeypatch, capsys):
    save, epochs_begun = Checkpoints.on_train_epoch_start, []

    def save_then_die(self, trainer, module):
        save(self, trainer, module)
        epochs_begun.append(type(module.module).__name__)
        if epochs_begun.count("SCANVAE") == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "on_train_epoch_start", save_then_die)
    settings = {"type": "scanvi", "epochs": 3, "scanvi_epochs": 2}
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(trained, tmp_path, **settings)
    history = train(trained, tmp_path, **settings)
    assert epochs_begun == ["VAE"] * 3 + ["SCANVAE"] * 3  # the last one was begun twice
    assert list(history["epoch"]) == [0, 1, 2]
    assert scvi.model.SCVI.load_registry(str(tmp_path / "model"))["model_name"] == "SCANVI"


def test_other_settings_do_not_resume(trained, tmp_path):
    first = Checkpoints(tmp_path, {"settings": {"n_latent": 4}})
    other = Checkpoints(tmp_path, {"settings": {"n_latent": 5}})
    first.state_path.parent.mkdir()
    first.state_path.touch()
    assert first.resume_from() == str(first.state_path)
    assert other.resume_from() is None


def test_other_cells_of_the_same_shape_do_not_resume(trained, tmp_path):
    """Exchanged splits have the same numbers of cells, genes and batches, but may train on test cells."""
    import zarr
    from shuffle_reference import shuffle_reference

    def fingerprint(seed):
        write_cells(tmp_path / "common.h5ad", simulate_cells(100, n_genes=60, seed=seed), "atlas")
        shuffle_reference(
            str(tmp_path / "common.h5ad"), str(tmp_path / "store.zarr"), seed=0, budget=Budget(1100)
        )
        attributes = dict(zarr.open_group(tmp_path / "store.zarr", mode="r").attrs)
        return Checkpoints(tmp_path, {"store": attributes}).state_path

    assert fingerprint(1) != fingerprint(2)


def test_scanvi_is_refined_takes_a_query_and_maps_it(trained, tmp_path):
    train(trained, tmp_path, type="scanvi", scanvi_epochs=2)
    query = simulate_cells(60, n_genes=60, batches=("x",), seed=5)
    write_cells(tmp_path / "query.h5ad", query, "patients")
    fit_query_model(
        str(tmp_path / "query.h5ad"),
        str(tmp_path / "model"),
        str(tmp_path / "query_model"),
        settings=settings_like(SurgerySettings, epochs=1, sketch_cells=100),
        batch_size=128,
        seed=0,
        budget=Budget(4000),
        threads=1,
        gpu=0,
    )
    map_query(
        str(tmp_path / "query.h5ad"),
        str(tmp_path / "query_model"),
        str(tmp_path / "0.parquet"),
        chunk=0,
        chunks=1,
        budget=Budget(4000),
        threads=1,
    )
    assert len(pd.read_parquet(tmp_path / "0.parquet")) == 60
    cells = as_query(query, "patients/x")
    cells.obs["label"] = "unknown"
    model = scvi.model.SCANVI.load(str(tmp_path / "query_model"), adata=cells)
    assert set(model.predict()) <= {"T cell", "B cell", "NK"}


def test_a_gpu_that_cannot_be_used_stops_the_job(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"given 1 GPU\(s\) and torch .* cannot use it"):
        train_reference_model(
            str(trained.folder / "store.zarr"),
            model=str(tmp_path / "model"),
            history=str(tmp_path / "history.csv"),
            checkpoints=str(tmp_path / "checkpoints"),
            settings=trained.settings,
            seed=0,
            threads=1,
            gpu=1,
            minutes=60,
            budget=Budget(4000),
        )


@pytest.mark.parametrize(
    ("n_cells", "size"), [(100, 128), (2000, 128), (5200, 256), (10_240, 512), (10**7, 512)]
)
def test_minibatches_shrink_for_small_references(n_cells, size):
    assert minibatch_size(512, n_cells) == size


@pytest.mark.parametrize(
    ("epochs", "n_cells", "expected"),
    [("auto", 1000, 400), ("auto", 80_000, 100), ("auto", 10**7, 1), (30, 10**7, 30)],
)
def test_epochs_scale_with_cells(epochs, n_cells, expected):
    assert reference_epochs(epochs, n_cells) == expected


def test_too_little_memory_is_told_before_anything_is_trained(trained, tmp_path):
    with pytest.raises(InputError, match=r"cannot run below \d+; .* or lower model\.batch_size"):
        train(trained, tmp_path, mem_mb=1000)
    assert not list(tmp_path.iterdir())


def test_scanvi_takes_cells_with_a_coarser_label_for_unlabeled(trained, tmp_path, capsys):
    """T cell is above the other two labels: the classifier has these only, and is trained on all cells."""
    hierarchy = hierarchy_of_parents(
        dict.fromkeys(["B cell", "NK"], "T cell"), ["B cell", "NK", "T cell"], ["B cell", "NK"]
    )
    known = ReferenceLabels(dict.fromkeys(hierarchy.nodes, LabelCells(200, 200, 0, 0)), hierarchy, {})
    write_artifact(known, tmp_path / "labels.json")
    labels = str(tmp_path / "labels.json")
    train(trained, tmp_path, type="scanvi", scanvi_epochs=2, epochs=2, labels=labels)
    assert "scANVI: cells with the coarser label 'T cell' are treated as unlabeled" in capsys.readouterr().out
    assert ScanviHead.load(tmp_path / "model").labels.tolist() == ["B cell", "NK"]


def test_a_minibatch_teaches_by_its_labeled_cells():
    batch = {"X": torch.arange(3), "labels": torch.tensor([[0], [UNLABELED], [1]]), "extra": None}
    whole, labeled = LabeledCellsPlan._split_semisupervised_batch(batch)
    assert whole is batch
    assert labeled["X"].tolist() == [0, 2]
    assert labeled["extra"] is None
    batch["labels"][:] = UNLABELED
    assert LabeledCellsPlan._split_semisupervised_batch(batch) == (batch, None)


def test_all_labels_weigh_the_same_in_the_loss_of_scanvis_classifier(trained):
    """Three cells of a common label and one of a rare one: the loss is the mean of the two labels' losses."""
    model = scanvi_from_scvi(new_model(skeleton(["g1", "g2"], ["b"], ["common", "rare"]), trained.settings))
    model.module.eval()
    cells = {"X": torch.tensor([[3.0, 0], [2, 1], [4, 0], [0, 5]]), "batch": torch.zeros(4, 1)}
    cells |= {"labels": torch.tensor([[0], [0], [0], [1]])}
    cells |= {"extra_categorical_covs": None, "extra_continuous_covs": None}
    _, _, logits = model.module.classification_loss(cells)
    of_cells = torch.nn.functional.cross_entropy(logits, cells["labels"].flatten(), reduction="none")
    saved = model.module.state_dict().keys()
    balance_labels(model, np.array([300, 100]))
    loss, labels, again = model.module.classification_loss(cells)
    assert loss.item() == pytest.approx((of_cells[:3].mean().item() + of_cells[3].item()) / 2)
    assert torch.equal(labels, cells["labels"])
    assert torch.equal(again, logits)
    assert model.module.state_dict().keys() == saved
