"""evaluate: scores, counts, calibration and rejection of one prediction, and its baseline."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.evaluation import HeadScores, PredictionSets, Separation, UnseenCells
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.errors import InputError
from cellferry.evaluation.baseline import sign_test
from cellferry.heads.expression import log_normalized
from evaluated import FOREIGN, HEADS, KNOWN, as_predictions, run, write_common, write_labels
from scipy import sparse, stats
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture
def scored(tmp_path):
    """A reference of three labels and 400 predicted cells: some unknown, foreign, or without a truth."""
    rng = np.random.default_rng(0)
    write_labels(tmp_path)
    write_common(tmp_path / "reference.h5ad", np.array(KNOWN * 60, dtype=object), rng)
    truth = rng.choice([*KNOWN, FOREIGN], 400, p=[0.4, 0.3, 0.2, 0.1]).astype(object)
    names = write_common(tmp_path / "query.h5ad", truth, rng)
    table = {"cell": names}
    for prefix in ("", *(f"{head}_" for head in HEADS)):
        guess = rng.choice(KNOWN, 400).astype(object)
        right = (rng.random(400) < 0.8) & (truth != FOREIGN)
        table[f"{prefix or 'best_'}label"] = np.where(right, truth, guess)
        table[f"{prefix}probability"] = rng.random(400).astype(np.float32)
    table["label"] = np.where(table["probability"] < 0.3, "unknown", table["best_label"])
    table["distance"] = rng.normal(np.where(truth == FOREIGN, 1.5, 0.5), 1).round(1).astype(np.float32)
    table["ood_pvalue"] = rng.random(400).round(2).astype(np.float32)
    sets = [sorted({label, rng.choice(KNOWN)}) for label in table["best_label"]]
    table["prediction_set"] = [" | ".join(labels) for labels in sets]
    table["truth"] = truth.copy()
    table["truth"][:50] = None
    frame = as_predictions(pd.DataFrame(table))
    frame.to_parquet(tmp_path / "query.parquet")
    return frame, tmp_path


def test_each_mapping_is_scored_where_there_are_two(scored):
    frame, folder = scored
    assert list(run(folder).heads) == HEADS
    truth = frame["truth"].isin(KNOWN)
    wrong = frame["best_label"].map(dict(zip(KNOWN, [*KNOWN[1:], KNOWN[0]], strict=True)))
    columns = {"fitted_label": frame["best_label"], "unfitted_label": wrong}
    columns |= {f"{mapping}_probability": frame["probability"] for mapping in ("fitted", "unfitted")}
    frame.assign(**columns).to_parquet(folder / "query.parquet")
    heads = run(folder).heads
    assert list(heads) == [*HEADS, "fitted", "unfitted"]
    right = (frame["best_label"] == frame["truth"])[truth].mean()
    assert heads["fitted"].accuracy == pytest.approx(right)
    assert heads["unfitted"].accuracy == pytest.approx((wrong == frame["truth"])[truth].mean())


def test_without_counts_of_the_reference_there_is_no_baseline(scored):
    folder = next(item for item in scored if isinstance(item, Path))
    with_baseline = run(folder)
    without = run(folder, reference=None)
    assert without.baseline is None
    assert with_baseline.baseline is not None
    assert without.forced == with_baseline.forced


def test_scores_are_scikit_learns(scored):
    frame, folder = scored
    found = run(folder)
    known = frame[frame["truth"].isin(KNOWN)]
    columns = {"best_label": found.forced, "label": found.answered}
    columns |= {f"{head}_label": found.heads[head] for head in HEADS}
    for column, scores in columns.items():
        assert scores.accuracy == pytest.approx(accuracy_score(known["truth"], known[column]))
        expected = f1_score(known["truth"], known[column], labels=KNOWN, average="macro")
        assert scores.macro_f1 == pytest.approx(expected)
    kinds = {"best_label": "forced", "label": "answer"} | {f"{head}_label": head for head in HEADS}
    for column, kind in kinds.items():
        expected = precision_recall_fscore_support(known["truth"], known[column], labels=KNOWN)
        by_label = found.levels["label"].heads[kind].labels
        assert list(by_label) == KNOWN
        for name, values in zip(["precision", "recall", "f1", "support"], expected, strict=True):
            assert [getattr(by_label[label], name) for label in KNOWN] == pytest.approx(list(values))


def test_counts_and_rejection(scored):
    frame, folder = scored
    found = run(folder)
    foreign = frame["truth"] == "HSC"
    known = frame[frame["truth"].isin(KNOWN)]
    accepted = known[known["label"] != "unknown"]
    assert found.n_cells == 400
    assert found.with_truth == 350
    assert found.truth_in_reference == len(known)
    assert found.truth_not_in_reference == foreign.sum()
    n_unknown = (frame["label"][foreign] == "unknown").sum()
    assert found.truth_not_in_reference_called_unknown == n_unknown
    entry = found.labels_not_in_reference["HSC"]
    assert (entry.cells, entry.unknown) == (foreign.sum(), n_unknown)
    assert (
        entry.accepted_as == frame["label"][foreign & (frame["label"] != "unknown")].value_counts().to_dict()
    )
    assert entry.accepted == sum(entry.accepted_as.values()) == foreign.sum() - n_unknown
    assert found.answered.rejected_share == pytest.approx(1 - len(accepted) / len(known))
    expected = (accepted["label"] == accepted["truth"]).mean()
    assert found.answered.accuracy_among_accepted == pytest.approx(expected)


def test_confusion_matrix_has_foreign_labels_and_unknown(scored):
    frame, folder = scored
    found = run(folder).confusion
    assert found.truth == ["B", "HSC", "NK", "T"]
    assert found.predicted == [*KNOWN, "unknown"]
    with_truth = frame[frame["truth"].notna()]
    labels = ["B", "HSC", "NK", "T", "unknown"]
    expected = confusion_matrix(with_truth["truth"], with_truth["label"], labels=labels)
    matrix = np.zeros((4, 4), dtype=int)
    for row, column, n in found.cells:
        assert n > 0
        matrix[row, column] = n
    np.testing.assert_array_equal(matrix, expected[:4][:, [0, 2, 3, 4]])


def test_confidence_and_calibration_are_of_the_cells_with_a_label_of_the_reference(scored):
    frame, folder = scored
    found = run(folder)
    known = frame[frame["truth"].isin(KNOWN)]
    bins = found.confidence
    assert sum(entry.cells for entry in bins) == len(known)
    inside = known[known["probability"].between(0.5, 0.6, inclusive="left")]
    entry = next(entry for entry in bins if entry.lower == 0.5)
    assert entry.cells == len(inside)
    assert entry.accuracy == pytest.approx((inside["best_label"] == inside["truth"]).mean())
    assert 0.5 <= entry.mean_probability < 0.6
    for head in HEADS:
        right = known[f"{head}_label"] == known["truth"]
        probability = known[f"{head}_probability"]
        bins = pd.cut(probability, np.linspace(0, 1, 11), right=False)
        gaps = [
            abs(right[rows].mean() - probability[rows].mean()) * len(rows)
            for rows in known.groupby(bins, observed=True).groups.values()
        ]
        assert found.heads[head].ece == pytest.approx(sum(gaps) / len(known), abs=1e-6)


def test_unknown_is_told_from_known_as_scikit_learn_says(scored):
    frame, folder = scored
    found = run(folder)
    with_truth = frame[frame["truth"].notna()]
    is_foreign = with_truth["truth"] == FOREIGN
    expected = {
        "ood_pvalue": roc_auc_score(is_foreign, -with_truth["ood_pvalue"]),
        "distance": roc_auc_score(is_foreign, with_truth["distance"]),
        "probability": roc_auc_score(is_foreign, -with_truth["probability"]),
    }
    assert asdict(found.labels_not_in_reference[FOREIGN].auroc) == pytest.approx(expected)
    assert asdict(found.not_in_reference.auroc) == pytest.approx(expected)
    assert found.not_in_reference.cells == is_foreign.sum()
    assert found.not_predictable == UnseenCells(0, 0, Separation(None, None, None))


def test_cells_without_a_distance_are_left_out(scored):
    frame, folder = scored
    frame["distance"] = frame["distance"].where(frame.index % 3 > 0)
    frame.to_parquet(folder / "query.parquet")
    used = frame[frame["truth"].notna() & frame["distance"].notna()]
    expected = roc_auc_score(used["truth"] == FOREIGN, used["distance"])
    assert run(folder).not_in_reference.auroc.distance == pytest.approx(expected)


def test_prediction_sets(scored):
    frame, folder = scored
    found = run(folder).prediction_sets
    known = frame[frame["truth"].isin(KNOWN)]
    sets = known["prediction_set"].str.split(" | ", regex=False)
    assert found.cells == len(known)
    holds = [truth in labels for truth, labels in zip(known["truth"], sets, strict=True)]
    assert found.coverage == pytest.approx(np.mean(holds))
    assert found.mean_size == pytest.approx(sets.str.len().mean())


def test_empty_prediction_sets_hold_nothing(scored):
    frame, folder = scored
    frame["prediction_set"] = np.where(frame.index % 2, "", None)
    frame.to_parquet(folder / "query.parquet")
    found = run(folder).prediction_sets
    assert (found.coverage, found.mean_size) == (0, 0)


def test_baseline_learns_from_the_genes(scored):
    frame, folder = scored
    baseline = run(folder).baseline
    known = frame[frame["truth"].isin(KNOWN)]
    assert baseline.n_cells == len(known)
    # The query's labels shift their genes by one label, with HSC in second place: B and nothing else agrees.
    assert baseline.accuracy > 0.3
    same = baseline.cellferry_on_the_same_cells.accuracy
    assert same == pytest.approx((known["best_label"] == known["truth"]).mean())
    # Cells that both get right cancel out.
    n_ahead = baseline.only_baseline - baseline.only_cellferry
    assert n_ahead / baseline.n_cells == pytest.approx(baseline.accuracy - same)
    assert 0 < baseline.only_cellferry <= (known["best_label"] == known["truth"]).sum()
    assert baseline.p_value == sign_test(baseline.only_baseline, baseline.only_cellferry)


@pytest.mark.parametrize("first", [0, 1, 5, 40, 9000])
@pytest.mark.parametrize("second", [0, 2, 5, 44, 9300])
def test_sign_test_is_scipys(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert sign_test(first, second) == pytest.approx(expected, rel=1e-9)


def test_baseline_is_near_perfect_where_genes_mean_the_same(scored, tmp_path):
    _, folder = scored
    rng = np.random.default_rng(1)
    truth = rng.choice(KNOWN, 100).astype(object)
    names = write_common(tmp_path / "easy.h5ad", truth, rng)
    table = {"cell": names, "best_label": truth, "label": truth, "truth": truth, "probability": np.ones(100)}
    as_predictions(pd.DataFrame(table)).to_parquet(tmp_path / "easy.parquet")
    found = run(folder, predictions="easy.parquet", common="easy.h5ad")
    assert found.baseline.accuracy > 0.95
    assert found.confused_labels == []


def test_no_truth_the_reference_knows_is_reported_not_scored(scored, tmp_path):
    _, folder = scored
    frame = pd.read_parquet(folder / "query.parquet")
    frame["truth"] = "HSC"
    frame.to_parquet(folder / "foreign.parquet")
    found = run(folder, predictions="foreign.parquet")
    assert found.forced == HeadScores(None, None, None)
    assert found.rejection.known_truth.error_among_accepted is None
    assert found.rejection.all_truth.error_among_accepted == 1
    assert found.not_in_reference.auroc.distance is None
    assert found.prediction_sets == PredictionSets(0, None, None)
    assert found.baseline.accuracy is None
    assert found.truth_not_in_reference == 400


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


def test_log_normalized_is_scanpys():
    sc = pytest.importorskip("scanpy")
    counts = sparse.csr_matrix(np.array([[1, 0, 3], [0, 0, 0], [2, 2, 0]], dtype=np.float32))
    adata = sc.AnnData(counts.copy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    np.testing.assert_allclose(log_normalized(counts).toarray(), adata.X.toarray(), rtol=1e-6)


def write_values(path, labels, rng, *, telltale):
    """Cells whose label determines the values of markers, some below 0; the last is not of the backbone."""
    codes = pd.factorize(labels, sort=True)[0]
    values = rng.normal(0.1, 0.15, (len(labels), 12))
    values[np.arange(len(labels)), codes] += 0.8
    values[:, -1] = codes if telltale else 0
    var = pd.DataFrame({"backbone": np.arange(12) < 11}, index=[f"CD{n}" for n in range(12)])
    names = np.array([f"cell{row}" for row in range(len(labels))], dtype=object)
    with H5adWriter(path, var) as file:
        obs = {"batch": np.array(["a"] * len(labels), object), "label": labels}
        file.append(sparse.csr_matrix(values.astype(np.float32)), names, obs)
        file.write_uns(values="intensities")
    return names


def test_baseline_learns_from_marker_values_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    write_labels(tmp_path)
    reference, truth = np.array(KNOWN * 60, dtype=object), rng.choice(KNOWN, 200).astype(object)
    write_values(tmp_path / "reference.h5ad", reference, rng, telltale=True)
    names = write_values(tmp_path / "query.h5ad", truth, rng, telltale=False)
    table = {"cell": names, "best_label": truth, "label": truth, "truth": truth, "probability": np.ones(200)}
    as_predictions(pd.DataFrame(table)).to_parquet(tmp_path / "query.parquet")
    baseline = run(tmp_path).baseline
    assert baseline.method == "values of the backbone's markers, PCA, logistic regression"
    # The marker that distinguishes every label of the reference is 0 in the query.
    assert baseline.accuracy > 0.95


def test_the_baseline_says_what_it_learned_from(scored):
    method = run(scored[1]).baseline.method
    assert method == "log1p CP10k of the common genes, PCA, logistic regression"
