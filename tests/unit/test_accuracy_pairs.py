"""The pairs of the benchmark of labels, and how they are run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import accuracy
import accuracy_runs
import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml
from accuracy_pairs import (
    CASE,
    DEFAULT_MAX_ERROR,
    OTHER_MAX_ERRORS,
    PAIR,
    RUNS,
    WITHOUT_LABEL,
    Dataset,
    Run,
    write_fewer_genes,
)
from accuracy_quoted import METHODS, PAIRS, TOOLS
from accuracy_runs import (
    limit_folder,
    make_run,
    queries_of_one_label,
    try_other_limits,
    with_queries_of_one_label,
)
from cellferry.config.checks import check
from cellferry.config.schema import fill_defaults

CELLS = {"B": 40, "T": 30, "NK": 25, "HSC": 20, "DC": 3}
RUN = Run("a_to_b", Dataset("a", "a.h5ad", "type"), {"Here → Blood": Dataset("blood", "b.h5ad", "type")})


def test_names_of_runs_and_pairs_are_unique():
    pairs = [pair for run in RUNS for pair in run.queries]
    assert len(set(pairs)) == len(pairs)
    assert len({run.name for run in RUNS}) == len(RUNS)
    assert {run.of for run in RUNS} == {PAIR, WITHOUT_LABEL, CASE}
    assert all((run.without is not None) == (run.of == WITHOUT_LABEL) for run in RUNS)


def test_pairs_that_are_quoted_are_pairs_that_are_run():
    assert set(PAIRS) <= {pair for run in RUNS for pair in run.queries}
    assert all(list(values) == list(PAIRS) for values in [*TOOLS.values(), *METHODS.values()])


@pytest.mark.parametrize("quick", [False, True], ids=["whole", "quick"])
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_configurations_have_the_queries_of_their_run(run, quick, test_data, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(test_data)
    monkeypatch.chdir(tmp_path)
    run = replace(run, quick=quick)
    run.write_files(tmp_path, test_data)
    config = run.config(5, test_data)
    assert config["seed"] == 5
    roles = [own["role"] for own in config["datasets"].values()]
    assert roles[0] == "reference"
    assert "reference" not in roles[1:]
    assert list(config["datasets"])[1:] == list(run.pairs)
    if run.without:
        kept = config["datasets"][run.reference.name]["cells"][run.reference.label]
        assert len(kept) > 2
        assert run.without not in kept
    check(config, config_files=[])
    config = with_queries_of_one_label(run.config(5, test_data), dict.fromkeys(run.pairs, CELLS))
    check(config, config_files=[])


def test_the_default_limit_of_error_is_the_workflows():
    config = RUN.config(0, None)
    fill_defaults(config)
    assert config["prediction"]["max_error"] == DEFAULT_MAX_ERROR
    assert DEFAULT_MAX_ERROR not in OTHER_MAX_ERRORS


def test_a_label_is_taken_out_of_the_reference_alone(tmp_path):
    obs = pd.DataFrame({"type": pd.Categorical(["T", "B", None, "NK", "B"])}, index=list("abcde"))
    ad.AnnData(np.ones((5, 2), np.float32), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    run = replace(RUN, without="B", of=WITHOUT_LABEL)
    run = replace(run, reference=replace(RUN.reference, keys={"cells": {"day": [1]}}))
    datasets = run.config(0, tmp_path)["datasets"]
    assert datasets["a"]["cells"] == {"day": [1], "type": ["NK", "T"]}
    assert "cells" not in datasets["blood"]
    assert run.reference.keys == {"cells": {"day": [1]}}
    with pytest.raises(ValueError, match="not in list"):
        replace(run, without="b").config(0, tmp_path)


def test_quick_configurations_draw_few_cells_of_both_sides():
    few = Dataset("few", "c.h5ad", "type", {"role": "evaluate", "max_cells": 20})
    run = replace(
        RUN, queries={**RUN.queries, "Here → Few": few}, settings={"genes": {"n_variable": 7}}, quick=True
    )
    config = run.config(0, None)
    assert [own.get("max_cells") for own in config["datasets"].values()] == [None, 200, 20]
    assert config["reference"] == {"subsample": 600}
    assert config["genes"] == {"n_variable": 7}
    assert not run.has_queries_of_one_label(0)


def test_queries_of_fewer_genes_keep_counts_of_the_genes_they_have(tmp_path):
    rng = np.random.default_rng(1)
    whole = ad.AnnData(rng.poisson(2, (6, 50)).astype(np.float32))
    whole.write_h5ad(tmp_path / "b.h5ad")
    run = replace(RUN, genes=0.4)
    run.write_files(tmp_path, tmp_path)
    path = tmp_path / run.config(0, tmp_path)["datasets"]["blood"]["path"]
    found = ad.read_h5ad(path)
    assert found.shape == (6, 20)
    np.testing.assert_array_equal(found.X, whole[:, found.var_names].X)
    write_fewer_genes(tmp_path / "b.h5ad", tmp_path / "again.h5ad", share=0.4)
    assert ad.read_h5ad(tmp_path / "again.h5ad").var_names.equals(found.var_names)


def test_variations_are_run_with_one_seed_and_quick_benchmarks_with_pairs():
    runs = accuracy.runs_with_seeds(None, [0, 1], quick=False)
    assert [run for run, seed in runs if seed == 0] == RUNS
    assert [run for run, seed in runs if seed == 1] == [run for run in RUNS if run.of == PAIR]
    quick = accuracy.runs_with_seeds(None, [0, 1], quick=True)
    assert [run.name for run, _ in quick] == [run.name for run in RUNS if run.of == PAIR]
    assert {(run.quick, seed) for run, seed in quick} == {(True, 0)}
    name = RUNS[-1].name
    assert [run.name for run, _ in accuracy.runs_with_seeds([name], [0], quick=True)] == [name]


def test_a_run_that_fails_does_not_keep_others_from_being_made(tmp_path, monkeypatch, capsys):
    def instead(run, *_, **__):
        if run == RUNS[0]:
            raise accuracy_runs.RunError("the run in here failed")

    monkeypatch.setattr(accuracy, "make_run", instead)
    monkeypatch.setattr(accuracy, "try_other_limits", instead)
    monkeypatch.setattr(accuracy, "label_by_others", instead)
    options = SimpleNamespace(work=tmp_path, quick=False, data=tmp_path, cores=1, again=None)
    runs = [(run, 0) for run in RUNS]
    assert accuracy.make(runs, options) == runs[1:]
    assert "error: the run in here failed" in capsys.readouterr().out


def test_every_label_of_enough_cells_is_a_query_of_its_own():
    own = {"role": "query", "label": "type", "cells": {"day": [1], "type": ["T", "CD4+ T"]}, "chunks": 3}
    config = {"datasets": {"atlas": {"role": "reference"}, "q": own, "pure": own}, "seed": 1}
    made = with_queries_of_one_label(config, {"q": {"T": 20, "CD4+ T": 21, "B": 19}, "pure": {"T": 500}})
    assert list(made["datasets"]) == ["atlas", "q", "pure", "q_only_T", "q_only_CD4-T"]
    assert made["datasets"]["q_only_CD4-T"] == {**own, "cells": {"day": [1], "type": ["CD4+ T"]}, "chunks": 1}
    assert config["datasets"]["q"] == own
    assert made["seed"] == 1


def test_labels_of_the_same_letters_have_queries_of_different_names():
    cells = {"a": {"CD16+ NK": 30, "CD16- NK": 30, "B": 30}, "b": {"CD16- NK": 30, "B": 30}}
    names = queries_of_one_label(cells)
    assert names["a", "CD16+ NK"] == "a_only_CD16-NK"
    assert names["a", "CD16- NK"] == "a_only_CD16-NK_2"
    assert names["b", "CD16- NK"] == "b_only_CD16-NK"


@pytest.fixture
def calls(monkeypatch):
    """Calls of snakemake, which makes its targets: name of the first one, limit of error, what is forced."""
    made = []

    def instead(folder, targets, config, cores):
        prediction = yaml.safe_load(config.read_text()).get("prediction", {})
        made.append(
            (str(targets[0]).rpartition("/")[2], prediction.get("max_error"), "--forcerun" in targets)
        )
        for target in targets[: targets.index("--forcerun")] if "--forcerun" in targets else targets:
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"labels": {"B": 30, "T": 30}}))

    monkeypatch.setattr(accuracy_runs, "snakemake", instead)
    return made


def test_finished_runs_are_not_repeated(tmp_path, calls):
    for _ in range(2):
        make_run(RUN, 0, tmp_path, tmp_path / "work", cores=1, again=None)
    assert calls == [("blood.json", None, False), ("scores.tsv", None, False)]
    make_run(RUN, 0, tmp_path, tmp_path / "work", cores=1, again=["predict_labels"])
    make_run(RUN, 1, tmp_path, tmp_path / "work", cores=1, again=None)
    assert calls[2:] == [("scores.tsv", None, True), ("scores.tsv", None, False)]
    # Queries of one label are made with the first seed only.
    for seed, more in enumerate([["blood_only_B", "blood_only_T"], []]):
        config = yaml.safe_load((tmp_path / "work" / RUN.name / f"seed_{seed}" / "config.yaml").read_text())
        assert (list(config["datasets"])[2:], config["seed"]) == (more, seed)


def test_other_limits_are_tried_in_a_copy_once(tmp_path, calls):
    make_run(RUN, 1, tmp_path, tmp_path / "work", cores=1, again=None)
    folder = accuracy_runs.run_folder(tmp_path / "work", RUN, 1)
    for part in ("test", "blood"):
        path = accuracy_runs.predictions_of(folder, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was")
    for _ in range(2):
        try_other_limits(RUN, 1, tmp_path / "work", cores=1)
    assert calls[1:] == [("test.parquet", limit, False) for limit in OTHER_MAX_ERRORS]
    assert {path.name for path in (folder / "limits").iterdir()} == {"0.01", "0.10"}
    assert {path.name for path in limit_folder(folder, 0.1).iterdir()} == {"test.parquet", "blood.parquet"}
    assert accuracy_runs.predictions_of(folder, "blood").read_text() == "as it was"
    assert "prediction" not in yaml.safe_load((folder / "config.yaml").read_text())
    try_other_limits(replace(RUN, of=CASE), 1, tmp_path / "elsewhere", cores=1)
    assert not (tmp_path / "elsewhere").exists()
