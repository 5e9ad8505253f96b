import json

import numpy as np
import pandas as pd
import pytest
from cellferry.baseline import log_normalised
from cellferry.budget import Budget
from cellferry.errors import InputError
from cellferry.h5ad import H5adWriter
from evaluate import evaluate
from scipy import sparse
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support
from threadpoolctl import threadpool_limits

KNOWN = ["B", "NK", "T"]
HEADS = ["xgboost", "linear", "neighbors"]


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def write_common(path, labels, rng):
    """Cells whose label shows in the genes: each label has ten of its own."""
    codes = pd.factorize(labels, sort=True)[0]
    rates = np.full((len(labels), 40), 0.5)
    for row, code in enumerate(codes):
        rates[row, 10 * code : 10 * code + 10] = 4
    counts = sparse.csr_matrix(rng.poisson(rates).astype(np.float32))
    names = np.array([f"cell{row}" for row in range(len(labels))], dtype=object)
    with H5adWriter(path, pd.DataFrame(index=[f"g{n}" for n in range(40)])) as file:
        file.append(counts, names, {"batch": np.array(["a"] * len(labels), object), "label": labels})
    return names


@pytest.fixture
def scored(tmp_path):
    """A reference of three labels and 400 predicted cells: some unknown, foreign, or without a truth."""
    rng = np.random.default_rng(0)
    write_common(tmp_path / "reference.h5ad", np.array(KNOWN * 60, dtype=object), rng)
    truth = rng.choice([*KNOWN, "HSC"], 400, p=[0.4, 0.3, 0.2, 0.1]).astype(object)
    names = write_common(tmp_path / "query.h5ad", truth, rng)
    table = {"cell": names}
    for column in ("best_label", *(f"{head}_label" for head in HEADS)):
        guess = rng.choice(KNOWN, 400).astype(object)
        right = (rng.random(400) < 0.8) & (truth != "HSC")
        table[column] = np.where(right, truth, guess)
    table["probability"] = rng.random(400).astype(np.float32)
    table["label"] = np.where(table["probability"] < 0.3, "unknown", table["best_label"])
    table["truth"] = truth.copy()
    table["truth"][:50] = None
    frame = pd.DataFrame(table)
    frame.to_parquet(tmp_path / "query.parquet")
    return frame, tmp_path


def run(folder, **changed):
    paths = {"predictions": "query.parquet", "reference": "reference.h5ad", "common": "query.h5ad"} | changed
    evaluate(
        **{key: str(folder / name) for key, name in paths.items()},
        evaluation=str(folder / "query.json"),
        seed=0,
        budget=Budget(2000),
    )
    return json.loads((folder / "query.json").read_text(encoding="utf-8"))


def test_scores_are_scikit_learns(scored):
    frame, folder = scored
    found = run(folder)
    known = frame[frame["truth"].isin(KNOWN)]
    columns = {"best_label": found["forced"], "label": found["answered"]}
    columns |= {f"{head}_label": found["heads"][head] for head in HEADS}
    for column, scores in columns.items():
        assert scores["accuracy"] == pytest.approx(accuracy_score(known["truth"], known[column]))
        expected = f1_score(known["truth"], known[column], labels=KNOWN, average="macro")
        assert scores["macro_f1"] == pytest.approx(expected)
    for column, kind in {"best_label": "forced", "label": "answered"}.items():
        expected = precision_recall_fscore_support(known["truth"], known[column], labels=KNOWN)
        by_label = found["labels"][kind]
        assert list(by_label) == KNOWN
        for name, values in zip(["precision", "recall", "f1", "support"], expected, strict=True):
            assert [by_label[label][name] for label in KNOWN] == pytest.approx(list(values))


def test_counts_and_rejection(scored):
    frame, folder = scored
    found = run(folder)
    foreign = frame["truth"] == "HSC"
    known = frame[frame["truth"].isin(KNOWN)]
    accepted = known[known["label"] != "unknown"]
    assert found["n_cells"] == 400
    assert found["with_truth"] == 350
    assert found["truth_in_reference"] == len(known)
    assert found["truth_not_in_reference"] == foreign.sum()
    n_unknown = (frame["label"][foreign] == "unknown").sum()
    assert found["truth_not_in_reference_called_unknown"] == n_unknown
    assert found["labels_not_in_reference"] == {"HSC": {"cells": foreign.sum(), "unknown": n_unknown}}
    assert found["answered"]["rejected_share"] == pytest.approx(1 - len(accepted) / len(known))
    expected = (accepted["label"] == accepted["truth"]).mean()
    assert found["answered"]["accuracy_among_accepted"] == pytest.approx(expected)


def test_confusion_matrix_has_foreign_labels_and_unknown(scored):
    frame, folder = scored
    found = run(folder)["confusion"]
    assert found["truth"] == ["B", "HSC", "NK", "T"]
    assert found["predicted"] == [*KNOWN, "unknown"]
    with_truth = frame[frame["truth"].notna()]
    labels = ["B", "HSC", "NK", "T", "unknown"]
    expected = confusion_matrix(with_truth["truth"], with_truth["label"], labels=labels)
    assert found["cells"] == expected[:4][:, [0, 2, 3, 4]].tolist()


def test_confidence_bins_hold_all_cells_with_a_truth(scored):
    frame, folder = scored
    bins = run(folder)["confidence"]
    assert sum(entry["cells"] for entry in bins) == 350
    inside = frame[frame["truth"].notna() & frame["probability"].between(0.5, 0.6, inclusive="left")]
    entry = next(entry for entry in bins if entry["from"] == 0.5)
    assert entry["cells"] == len(inside)
    assert entry["accuracy"] == pytest.approx((inside["best_label"] == inside["truth"]).mean())
    assert 0.5 <= entry["mean_probability"] < 0.6


def test_baseline_learns_from_the_genes(scored):
    frame, folder = scored
    baseline = run(folder)["baseline"]
    known = frame[frame["truth"].isin(KNOWN)]
    assert baseline["n_cells"] == len(known)
    # The query's labels shift their genes by one label, HSC standing second: B and nothing else agrees.
    assert baseline["accuracy"] > 0.3
    same = baseline["cellferry_on_the_same_cells"]["accuracy"]
    assert same == pytest.approx((known["best_label"] == known["truth"]).mean())


def test_baseline_is_near_perfect_where_genes_mean_the_same(scored, tmp_path):
    _, folder = scored
    rng = np.random.default_rng(1)
    truth = rng.choice(KNOWN, 100).astype(object)
    names = write_common(tmp_path / "easy.h5ad", truth, rng)
    table = {"cell": names, "best_label": truth, "label": truth, "truth": truth, "probability": np.ones(100)}
    pd.DataFrame(table).to_parquet(tmp_path / "easy.parquet")
    found = run(folder, predictions="easy.parquet", common="easy.h5ad")
    assert found["baseline"]["accuracy"] > 0.95
    assert found["heads"] == {}


def test_no_truth_the_reference_knows_is_reported_not_scored(scored, tmp_path):
    _, folder = scored
    frame = pd.read_parquet(folder / "query.parquet")
    frame["truth"] = "HSC"
    frame.to_parquet(folder / "foreign.parquet")
    found = run(folder, predictions="foreign.parquet")
    assert found["forced"] == {"accuracy": None, "macro_f1": None}
    assert found["baseline"]["accuracy"] is None
    assert found["truth_not_in_reference"] == 400


def test_predictions_without_any_truth_are_an_input_error(scored):
    _, folder = scored
    pd.read_parquet(folder / "query.parquet").drop(columns="truth").to_parquet(folder / "plain.parquet")
    with pytest.raises(InputError, match=r"datasets\.plain\.label"):
        run(folder, predictions="plain.parquet")


def test_predictions_of_other_cells_are_refused(scored):
    _, folder = scored
    pd.read_parquet(folder / "query.parquet").head(10).to_parquet(folder / "short.parquet")
    with pytest.raises(RuntimeError, match="has 10 cells"):
        run(folder, predictions="short.parquet")


def test_log_normalised_is_scanpys():
    sc = pytest.importorskip("scanpy")
    counts = sparse.csr_matrix(np.array([[1, 0, 3], [0, 0, 0], [2, 2, 0]], dtype=np.float32))
    adata = sc.AnnData(counts.copy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    np.testing.assert_allclose(log_normalised(counts).toarray(), adata.X.toarray(), rtol=1e-6)
