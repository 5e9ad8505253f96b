"""raise_thresholds: a sketch of the query, judged as predict_labels judges its cells."""

import pytest
import raise_thresholds
from cellferry.artifacts.decision import DecisionModel, QualityLimits
from cellferry.artifacts.json_files import read_artifact
from cellferry.config.settings import LimitSettings
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from mapped import write_part
from raise_thresholds import raise_for_query
from simulate import settings_like
from test_predict_labels import predict, train
from threadpoolctl import threadpool_limits

LIMITS = settings_like(LimitSettings, min_counts=10, min_genes=5)
BETWEEN = [0, 1, 2, 0.4, 1.4] * 60


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with threadpool_limits(1):
        return train(tmp_path_factory.mktemp("trained"))


def raised(trained, part, folder, *, budget=None, limits=LIMITS):
    path = folder / "raised.json"
    raise_for_query(
        part.mapped,
        part.common,
        str(trained / "classifier"),
        str(trained / "calibration.json"),
        str(path),
        limits=limits,
        seed=0,
        budget=budget or Budget(2000),
        threads=1,
    )
    return read_artifact(DecisionModel, path)


@pytest.mark.parametrize("unfitted", [None, [1, 1, 2, 0.4, 1.4] * 60])
def test_what_is_expected_is_what_the_predictions_hold(trained, tmp_path, unfitted):
    part = write_part(tmp_path / "query", BETWEEN, spread=0.6, unfitted=unfitted, seed=9)
    found = raised(trained, part, tmp_path).raised
    assert found.cells == len(BETWEEN)
    for decision, labeled, expected in (
        (trained / "calibration.json", found.labeled_before, found.expected_error_before),
        (tmp_path / "raised.json", found.labeled, found.expected_error),
    ):
        answers = predict(trained, part, decision=decision)
        given = answers[answers["label"] != "unknown"]
        assert len(given) == labeled
        coarser = given["level"] == "lineage"
        probability = given["probability"].where(~coarser, given["level_lineage_probability"])
        assert 1 - probability.mean() == pytest.approx(expected, abs=1e-6)
    # Held-out cells count beside them, as many as make 20.
    assert found.expected_error < 0.052
    assert found.labeled <= found.labeled_before


@pytest.mark.parametrize("chunks", [2, 7])
def test_it_does_not_depend_on_chunks_or_memory(trained, tmp_path, chunks, monkeypatch):
    whole = raised(trained, write_part(tmp_path / "whole", BETWEEN, spread=0.6, seed=9), tmp_path)
    monkeypatch.setattr(raise_thresholds.Classifier, "rows_in", lambda self, max_bytes, cells: 19)
    cut = raised(trained, write_part(tmp_path / "cut", BETWEEN, spread=0.6, chunks=chunks, seed=9), tmp_path)
    for level, nodes in whole.thresholds.items():
        assert cut.thresholds[level] == pytest.approx(nodes, abs=1e-5)
    assert cut.raised.labeled == whole.raised.labeled


def test_a_large_query_is_judged_by_a_sketch(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(raise_thresholds, "shift_cap", lambda n_labels: 100)
    part = write_part(tmp_path / "query", BETWEEN, spread=0.6, chunks=3, seed=9)
    assert raised(trained, part, tmp_path).raised.cells == 100


def test_a_query_of_one_cell(trained, tmp_path):
    found = raised(trained, write_part(tmp_path / "query", [1], spread=0.1), tmp_path)
    assert (found.raised.cells, found.raised.labeled) == (1, 1)


def test_cells_of_low_quality_do_not_count(trained, tmp_path):
    part = write_part(tmp_path / "query", BETWEEN, spread=0.6, depth=0.0, seed=9)
    learned = read_artifact(DecisionModel, trained / "calibration.json")
    found = raised(trained, part, tmp_path)
    assert found.raised.labeled_before == 0
    assert found.thresholds == learned.thresholds


def test_too_little_memory_is_told(trained, tmp_path):
    part = write_part(tmp_path / "query", BETWEEN)
    with pytest.raises(InputError, match="mem_mb"):
        raised(trained, part, tmp_path, budget=Budget(300))


def test_the_log_says_what_was_raised(trained, tmp_path, capsys):
    raised(trained, write_part(tmp_path / "query", BETWEEN, spread=0.6, seed=9), tmp_path)
    assert "by raised ones: the expected error was" in capsys.readouterr().out


@pytest.mark.parametrize("n_mapped", [1, 3])
def test_counts_of_other_cells_than_were_mapped_are_told(trained, tmp_path, n_mapped):
    part = write_part(tmp_path / "query", BETWEEN[:2])
    part.mapped = write_part(tmp_path / "other", BETWEEN[:n_mapped]).mapped
    with pytest.raises(RuntimeError, match=f"has 2 cells, but the chunks hold {n_mapped}"):
        raised(trained, part, tmp_path)


def test_a_shallow_query_lowers_its_limits_of_quality(trained, tmp_path, capsys, monkeypatch):
    """predict_labels takes them from the raised decision; numbers of the configuration count before them."""
    monkeypatch.setattr(raise_thresholds, "limits_of_query", lambda *_: QualityLimits(1.5, 1))
    part = write_part(tmp_path / "query", BETWEEN, spread=0.6, seed=9)
    automatic = settings_like(LimitSettings, min_counts="auto", min_genes="auto")
    found = raised(trained, part, tmp_path, limits=automatic)
    assert found.quality == QualityLimits(1.5, 1)
    assert "the query is shallow: its limits of quality are 1.5 counts and 1 genes" in capsys.readouterr().out
    strict = settings_like(LimitSettings, min_counts=1e9, min_genes="auto")
    assert raised(trained, part, tmp_path, limits=strict).raised.labeled == 0
