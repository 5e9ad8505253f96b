"""estimate_missing_genes: the worth of genes that a query lacks, and rules for cells without them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.gene_loss import GeneLoss
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.json_files import read_artifact
from cellferry.config.settings import ClassifierSettings, LimitSettings
from cellferry.errors import InputError
from cellferry.evaluation.baseline import Baseline
from cellferry.heads.expression import log_normalized
from cellferry.heads.training import TrainingFiles
from cellferry.resources.budget import Budget
from estimate_missing_genes import ReferenceFiles, estimate_missing_genes, print_loss, with_advice
from example_artifacts import write_reference_labels
from map_query import map_query
from mapped import stored
from predict_labels import predict_labels
from scipy import sparse
from simulate import settings_like, simulate_cells, write_cells
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits
from train_classifier import train_classifier

HEADS = ["linear", "neighbors", "expression"]


@pytest.fixture(scope="module")
def reference(trained, tmp_path_factory):
    """Classifiers and rules of the trained model, and validation cells of its batches."""
    folder = tmp_path_factory.mktemp("gene_loss")
    validation = simulate_cells(150, n_genes=60, batches=("a", "b"), shift=0.2, seed=7)
    write_cells(folder / "validation.h5ad", validation, "atlas")
    return learn(trained, folder, trained.folder / "common.h5ad", validation, heads=HEADS)


@pytest.fixture(scope="module")
def on_markers(trained, tmp_path_factory):
    """The same for a model of markers; the last five are not of the backbone."""
    folder = tmp_path_factory.mktemp("marker_loss")
    validation = marker_values_of(simulate_cells(150, n_genes=60, batches=("a", "b"), shift=0.2, seed=7))
    backbone = np.arange(60) < 55
    write_values(folder / "validation.h5ad", validation, backbone=backbone)
    write_values(folder / "train.h5ad", marker_values_of(trained.cells), backbone=backbone)
    heads = [*HEADS, "cytovi", "expression_xgboost"]
    return learn(trained, folder, folder / "train.h5ad", validation, heads=heads, modality="cytometry")


def learn(trained, folder, common, validation, *, heads, modality="rna"):
    """Map training and validation cells, and train on them; the validation file is already in the folder."""
    for name, counts in (("train", common), ("validation", folder / "validation.h5ad")):
        (folder / name).mkdir()
        map_part(counts, trained.folder / "model", folder / name / "0.parquet")
    (folder / "genes.tsv").write_text("gene\n")
    write_reference_labels(folder / "labels.json", ["B cell", "NK", "T cell"])
    mapped = {name: [str(folder / name / "0.parquet")] for name in ("train", "validation")}
    with threadpool_limits(1):
        train_classifier(
            TrainingFiles(
                mapped["train"],
                mapped["validation"],
                str(trained.folder / "model"),
                str(common),
                str(folder / "validation.h5ad"),
            ),
            str(folder / "labels.json"),
            str(folder / "classifier"),
            settings=settings_like(
                ClassifierSettings, heads=heads, n_trees=10, max_depth=2, learning_rate=0.2
            ),
            modality=modality,
            seed=0,
            budget=Budget(4000),
            threads=1,
        )
        calibrate_classifier(
            mapped["validation"],
            mapped["train"],
            str(folder / "validation.h5ad"),
            str(folder / "classifier"),
            str(trained.folder / "model"),
            str(folder / "genes.tsv"),
            str(folder / "calibration.json"),
            max_error=0.1,
            seed=0,
            budget=Budget(2000),
            threads=1,
        )
    return SimpleNamespace(folder=folder, validation=validation, model=trained.folder / "model")


def marker_values_of(cells):
    """Values like transformed intensities, every one stored."""
    cells = cells.copy()
    cells.X = stored(np.arcsinh(cells.X.toarray() / 5) / 3)
    return cells


def write_values(path, cells, *, backbone):
    with H5adWriter(path, cells.var.assign(backbone=backbone)) as writer:
        obs = {
            "batch": np.array([f"atlas/{sample}" for sample in cells.obs["sample"]], dtype=object),
            "label": cells.obs["cell_type"].astype(object).to_numpy(),
        }
        writer.append(cells.X, cells.obs_names.to_numpy(dtype=object), obs)
        writer.write_uns(dataset="atlas", values="intensities")


def map_part(counts, model, mapped):
    map_query(str(counts), str(model), str(mapped), chunk=0, chunks=1, budget=Budget(4000), threads=1)


def write_query(path, measured, n_genes=60, **columns):
    """A query of which only the genes matter."""
    cells = simulate_cells(10, n_genes=n_genes)
    with H5adWriter(path, pd.DataFrame({"measured": measured} | columns, index=cells.var_names)) as writer:
        writer.append(cells.X, cells.obs_names.to_numpy(dtype=object), {})
        writer.write_uns(dataset="blood")


def estimate(reference, tmp_path, measured, *, validation=None, training=None, columns=None, **changed):
    write_query(tmp_path / "query.h5ad", measured, **columns or {})
    settings = {"max_loss": 0.05, "max_error": 0.1, "seed": 0, "budget": Budget(3000), "threads": 1}
    with threadpool_limits(1):
        estimate_missing_genes(
            str(tmp_path / "query.h5ad"),
            ReferenceFiles(
                str(validation or reference.folder / "validation.h5ad"),
                str(reference.model),
                str(reference.folder / "classifier"),
                str(reference.folder / "calibration.json"),
                training and str(training),
            ),
            gene_loss=str(tmp_path / "gene_loss.json"),
            own_decision=str(tmp_path / "calibration.json"),
            **settings | changed,
        )
    return read_artifact(GeneLoss, tmp_path / "gene_loss.json"), read_artifact(
        DecisionModel, tmp_path / "calibration.json"
    )


def predict_poor(reference, folder, limits):
    """Predictions of `folder/poor.h5ad`, by the decision of estimate_missing_genes."""
    map_part(folder / "poor.h5ad", reference.model, folder / "poor.parquet")
    with threadpool_limits(1):
        predict_labels(
            str(folder / "poor.parquet"),
            str(folder / "poor.h5ad"),
            str(reference.folder / "classifier"),
            str(folder / "calibration.json"),
            str(folder / "predictions.parquet"),
            chunk=0,
            chunks=1,
            limits=limits,
            budget=Budget(2000),
            threads=1,
        )
    return pd.read_parquet(folder / "predictions.parquet")


def test_nothing_is_lost_with_all_genes(reference, tmp_path):
    found, rules = estimate(reference, tmp_path, np.ones(60, bool))
    assert found.measured == found.genes == 60
    assert found.cells == 150
    assert found.loss == 0
    assert not found.advice
    learned = read_artifact(DecisionModel, reference.folder / "calibration.json")
    assert rules.temperatures == pytest.approx(learned.temperatures, rel=1e-3)
    assert rules.thresholds["label"] == pytest.approx(learned.thresholds["label"], abs=1e-3)
    assert rules.weights == learned.weights
    assert rules.made_from == learned.made_from


@pytest.mark.parametrize("max_error", [0.005, 0.3])
def test_a_query_with_all_genes_gets_thresholds_for_its_own_limit(reference, tmp_path, max_error):
    found, rules = estimate(reference, tmp_path, np.ones(60, bool), max_error=max_error)
    assert found.loss == 0
    assert rules.held_out.max_error == max_error
    learned = read_artifact(DecisionModel, reference.folder / "calibration.json")
    pairs = [(rules.thresholds["label"][node], least) for node, least in learned.thresholds["label"].items()]
    if max_error < 0.1:
        assert all(own >= least for own, least in pairs)
        assert any(own > least for own, least in pairs)
    else:
        assert all(own <= least + 1e-6 for own, least in pairs)


def test_missing_genes_cost_what_validation_cells_without_them_lose(reference, tmp_path, capsys):
    """Compared with validation cells whose counts of these genes were set to 0."""
    measured = np.arange(60) % 6 == 0
    found, _ = estimate(reference, tmp_path, measured)
    assert found.measured == 10
    assert found.advice
    assert "warning: the loss is more than genes.max_loss (0.05)" in capsys.readouterr().out

    poor = reference.validation.copy()
    poor.X = sparse.csr_matrix(poor.X @ sparse.diags_array(measured.astype(np.float32)))
    poor.X.eliminate_zeros()
    write_cells(tmp_path / "poor.h5ad", poor, "atlas")
    predicted = predict_poor(reference, tmp_path, LimitSettings(min_p=0, min_counts=0, min_genes=0))
    macro_f1 = f1_score(predicted["truth"], predicted["best_label"], average="macro")
    assert found.macro_f1_without == pytest.approx(macro_f1, abs=0.01)
    assert found.loss == pytest.approx(found.macro_f1 - found.macro_f1_without)
    # Accepted labels keep the error bound, although the classifiers have lost much.
    given = predicted["label"] != "unknown"
    assert (predicted["label"] != predicted["truth"])[given].mean() <= 0.15


def test_training_on_the_genes_alone_is_priced_by_the_baseline(reference, trained, tmp_path, capsys):
    """Compared with a baseline trained without the other genes."""
    measured = np.arange(60) % 6 == 0
    found, _ = estimate(reference, tmp_path, measured, training=trained.folder / "common.h5ad")
    scores = {}
    for name, genes in (("all", np.ones(60, bool)), ("panel", measured)):
        learned, asked = (cells[:, genes] for cells in (trained.cells, reference.validation))
        model = Baseline(log_normalized(learned.X), learned.obs["cell_type"].to_numpy(str), seed=0)
        predicted = model.predict(log_normalized(asked.X))
        scores[name] = f1_score(asked.obs["cell_type"], predicted, average="macro")
    assert found.baseline_f1 == pytest.approx(scores["all"], abs=0.02)
    assert found.baseline_f1_retrained == pytest.approx(scores["panel"], abs=0.02)
    assert found.loss_retrained == pytest.approx(found.baseline_f1 - found.baseline_f1_retrained)
    assert f"{found.baseline_f1_retrained:.3f} on those that" in capsys.readouterr().out
    without, _ = estimate(reference, tmp_path, measured)
    assert without.loss_retrained is None
    assert without.loss == found.loss


@pytest.mark.parametrize(
    ("without", "retrained", "advice", "told"),
    [
        (0.6, 0.89, True, "train on genes that"),
        (0.6, None, True, "train on genes that"),
        (0.6, 0.55, False, "would cost as much: provide coarser labels"),
        (0.88, 0.2, False, None),
    ],
)
def test_the_cheaper_way_is_advised(capsys, without, retrained, advice, told):
    found = with_advice(GeneLoss(60, 10, 90, 0.9, without, None, {}, 0.9, retrained, False), max_loss=0.05)
    assert found.loss == pytest.approx(0.9 - without)
    assert found.advice is advice
    print_loss(found, "panel", max_loss=0.05)
    said = capsys.readouterr().out
    assert ("warning" in said) is (told is not None)
    assert (told or "") in said


def test_genes_without_an_ortholog_are_priced_and_counted(reference, tmp_path, capsys):
    """The loss is that of a query of the model's species that lacks the same genes."""
    measured = np.arange(60) % 6 == 0
    expected, _ = estimate(reference, tmp_path, measured)
    found, _ = estimate(
        reference, tmp_path, measured, columns={"has_ortholog": measured | (np.arange(60) < 20)}
    )
    assert expected.without_ortholog is None
    assert found.without_ortholog == 34
    assert found.loss == expected.loss > 0
    assert "34 of the others have no one-to-one ortholog in its species" in capsys.readouterr().out


def test_the_limit_of_the_loss_is_the_users(reference, tmp_path):
    found, _ = estimate(reference, tmp_path, np.arange(60) % 6 == 0, max_loss=1.0)
    assert found.loss > 0
    assert not found.advice


def test_without_validation_cells_nothing_is_foretold(reference, tmp_path, capsys):
    nothing = tmp_path / "nothing.h5ad"
    write_cells(nothing, reference.validation[:0].copy(), "atlas")
    found, rules = estimate(reference, tmp_path, np.arange(60) < 30, validation=nothing)
    assert (found.measured, found.cells) == (30, 0)
    assert found.loss is found.macro_f1 is found.macro_f1_without is None
    assert found.advice is False
    assert "no validation cells" in capsys.readouterr().out
    assert set(rules.thresholds["label"]) == {"T cell", "B cell", "NK"}


def test_memory_and_blocks_change_nothing(reference, tmp_path, monkeypatch):
    """Blocks, some without a drawn cell."""
    monkeypatch.setattr("estimate_missing_genes.calibration_cap", lambda n_labels: 20)
    measured = np.arange(60) < 40
    whole, whole_rules = estimate(reference, tmp_path, measured)
    monkeypatch.setattr("cellferry.heads.classifier.Classifier.rows_in", lambda *_: 8)
    found, rules = estimate(reference, tmp_path, measured, budget=Budget(4000, 2))
    assert found == whole
    assert whole.cells == 20
    assert rules.weights == pytest.approx(whole_rules.weights)
    assert rules.thresholds["label"] == pytest.approx(whole_rules.thresholds["label"], abs=1e-5)


def test_too_little_memory_is_told_at_once(reference, tmp_path):
    with pytest.raises(InputError, match=r"mem_mb=500 is too low: this job cannot run below \d+"):
        estimate(reference, tmp_path, np.ones(60, bool), budget=Budget(500))
    assert not (tmp_path / "calibration.json").exists()


def test_of_marker_values_too(on_markers, tmp_path):
    """Compared with validation cells whose values of these markers were set to 0."""
    found, _ = estimate(on_markers, tmp_path, np.ones(60, bool))
    assert (found.loss, found.measured) == (0, 60)
    measured = np.arange(60) % 6 == 0
    found, rules = estimate(on_markers, tmp_path, measured)
    assert found.loss > 0.05
    assert set(rules.weights) == {*HEADS, "cytovi", "expression_xgboost"}

    poor = on_markers.validation.copy()
    poor.X = stored(poor.X.toarray() * measured)
    write_values(tmp_path / "poor.h5ad", poor, backbone=np.arange(60) < 55)
    predicted = predict_poor(on_markers, tmp_path, LimitSettings(min_p=0, min_counts=50, min_genes=20))
    macro_f1 = f1_score(predicted["truth"], predicted["best_label"], average="macro")
    assert found.macro_f1_without == pytest.approx(macro_f1, abs=0.01)
    assert "low quality" not in set(predicted["reason"])
