"""Heads: labels depend on the cell's latents alone, and are the same after storing."""

import numpy as np
import pytest
from cellferry.heads.boosted_trees import ExpressionXGBoostHead, XGBoostHead
from cellferry.heads.boosting import depth_for
from cellferry.heads.linear import LinearHead
from cellferry.heads.neighbors import NeighborsHead
from cellferry.heads.registry import HEADS, IMPORTED, ON_COUNTS, ON_EXPRESSION, load_heads, predict
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

NONE_HELD_OUT = (np.zeros((0, 5), np.float32), np.zeros(0, int))


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def blobs(sizes, *, seed=0, spread=0.5):
    """Latents in Gaussian blobs around corners 4 apart, and the blob of each cell."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = 4 * np.eye(max(5, len(sizes)))[: len(sizes), :5]
    return (centers[codes] + rng.normal(0, spread, (len(codes), 5))).astype(np.float32), codes


def counts_of(codes, *, seed=0):
    """Counts of 40 genes, of which each code has ten of its own."""
    rates = np.full((len(codes), 40), 0.3)
    for cell, code in enumerate(codes):
        rates[cell, 10 * code : 10 * code + 10] = 3
    return sparse.csr_matrix(np.random.default_rng(seed).poisson(rates).astype(np.float32))


def train(latents, codes, validation=NONE_HELD_OUT, *, n_trees=60, seed=0):
    n_labels = codes.max() + 1
    settings = {"n_labels": n_labels, "n_trees": n_trees, "max_depth": 6, "learning_rate": 0.1}
    return {
        "xgboost": XGBoostHead.train(latents, codes, validation, **settings, threads=1, seed=seed),
        "linear": LinearHead.train(latents, codes),
        "neighbors": NeighborsHead.train(latents, codes, validation[0], n_neighbors=15, n_labels=n_labels),
        **{name: learn(counts_of(codes), codes, n_labels=n_labels) for name, learn in ON_COUNTS.items()},
    }


@pytest.mark.parametrize("sizes", [(100, 100, 100), (300, 12, 60), (40, 40)], ids=["even", "rare", "two"])
@pytest.mark.parametrize("checked", [True, False], ids=["early stopping", "no validation"])
def test_every_head_tells_blobs_apart(sizes, checked):
    validation = blobs((20,) * len(sizes), seed=1) if checked else NONE_HELD_OUT
    heads = train(*blobs(sizes), validation)
    latents, codes = blobs((50,) * len(sizes), seed=2)
    for name, probabilities in predict(heads, latents, counts_of(codes, seed=2)).items():
        assert probabilities.dtype == np.float32
        assert probabilities.shape == (len(codes), len(sizes))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5, err_msg=name)
        assert (probabilities.argmax(axis=1) == codes).mean() > 0.97, name


def test_trees_do_not_collapse_on_a_handful_of_cells():
    heads = train(*blobs((6, 6, 6)))
    latents, codes = blobs((50, 50, 50), seed=2)
    assert (heads["xgboost"].probabilities(latents).argmax(axis=1) == codes).mean() > 0.9


def test_a_label_that_validation_lacks_is_still_learned():
    heads = train(*blobs((100, 100, 100)), blobs((20, 20), seed=1))
    latents, codes = blobs((0, 0, 50), seed=2)
    for name, probabilities in predict(heads, latents, counts_of(codes, seed=2)).items():
        assert (probabilities.argmax(axis=1) == codes).mean() > 0.95, name


def test_stored_heads_predict_the_same(tmp_path):
    heads = train(*blobs((50, 50, 50)))
    for head in heads.values():
        head.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "expression.npz",
        "expression_pca.npz",
        "expression_ranks.npz",
        "linear.npz",
        "neighbors.parquet",
        "xgboost.npz",
        "xgboost.ubj",
    ]
    latents, codes = blobs((20, 20, 20), seed=2)
    before = predict(heads, latents, counts_of(codes))
    after = predict(load_heads(tmp_path, list(heads), threads=1), latents, counts_of(codes))
    assert list(after) == list(before)
    for name in before:
        assert np.array_equal(before[name], after[name]), name


def test_only_the_heads_asked_for_are_read(tmp_path):
    train(*blobs((30, 30)))["linear"].save(tmp_path)
    heads = load_heads(tmp_path, ["linear"], threads=1)
    latents, _ = blobs((5, 5), seed=2)
    # Without the expression head no counts are needed.
    assert {name: values.shape for name, values in predict(heads, latents, None).items()} == {
        "linear": (10, 2)
    }


def test_heads_on_expression_are_heads():
    assert set(ON_EXPRESSION) < set(HEADS | IMPORTED)
    assert not HEADS.keys() & IMPORTED.keys()


def test_predictions_do_not_depend_on_how_cells_are_cut():
    heads = train(*blobs((200, 200, 200), spread=2.0))
    latents, codes = blobs((300, 300, 300), seed=2, spread=2.0)
    counts = counts_of(codes)
    # Twins of reference cells, where a distance is 0.
    latents[::7] = heads["neighbors"].latents[: len(latents[::7])]
    whole = predict(heads, latents, counts)
    for size in (1, 13, 512):
        pieces = [
            predict(heads, latents[start : start + size], counts[start : start + size])
            for start in range(0, len(latents), size)
        ]
        for name, values in whole.items():
            joined = np.concatenate([piece[name] for piece in pieces])
            np.testing.assert_allclose(joined, values, atol=1e-6, err_msg=f"{name}, blocks of {size}")


def test_no_cells_give_no_predictions():
    heads = train(*blobs((30, 30)))
    for probabilities in predict(heads, np.zeros((0, 5), np.float32), counts_of([])).values():
        assert probabilities.shape == (0, 2)


def test_the_same_seed_gives_the_same_trees():
    latents, codes = blobs((80, 80), spread=2.0)
    first, again, other = (
        train(latents, codes, seed=seed)["xgboost"].probabilities(latents) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("sizes", [(60, 30), (60, 30, 15)], ids=["two", "three"])
def test_linear_head_is_scikit_learns_logistic_regression(sizes):
    latents, codes = blobs(sizes, spread=2.0)
    head = LinearHead.train(latents, codes)
    standardized = (latents - latents.mean(axis=0)) / latents.std(axis=0)
    expected = LogisticRegression(class_weight="balanced", max_iter=1000).fit(standardized, codes)
    np.testing.assert_allclose(head.probabilities(latents), expected.predict_proba(standardized), atol=2e-3)


def test_linear_head_with_a_latent_that_never_varies():
    latents, codes = blobs((40, 40))
    latents[:, 3] = 7
    assert np.isfinite(LinearHead.train(latents, codes).probabilities(latents)).all()


def test_neighbors_head_votes_like_scikit_learns_away_from_twins():
    latents, codes = blobs((100, 100, 100), spread=2.0)
    query, _ = blobs((30, 30, 30), seed=2, spread=2.0)
    head = NeighborsHead.train(latents, codes, latents[:0], n_neighbors=15, n_labels=3)
    expected = KNeighborsClassifier(15, weights="distance").fit(latents, codes)
    found, _ = expected.kneighbors(query)
    apart = found.min(axis=1) > found.mean(axis=1) / 10
    np.testing.assert_allclose(
        head.probabilities(query)[apart], expected.predict_proba(query)[apart], atol=1e-5
    )


def test_neighbors_head_lets_all_cells_vote_if_there_are_few():
    latents, codes = blobs((3, 2))
    head = NeighborsHead.train(latents, codes, latents[:0], n_neighbors=15, n_labels=2)
    assert (head.probabilities(latents) > 0).all()


@pytest.mark.parametrize("checked", [True, False], ids=["validation", "no validation"])
def test_distance_tells_a_new_blob_from_known_ones(checked):
    heads = train(*blobs((100, 100, 100)), blobs((50, 50, 50), seed=1) if checked else NONE_HELD_OUT)
    _, near = heads["neighbors"].vote(blobs((100, 100, 100), seed=2)[0])
    _, far = heads["neighbors"].vote(blobs((0, 0, 0, 50), seed=2)[0])
    assert (near > 1).mean() < 0.05
    assert (far > 1.5).all()


def test_distance_is_relative_to_the_density_around():
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0, 0], [50, 0, 0]])
    codes = np.repeat([0, 1], 200)
    scale = np.where(codes == 0, 1.0, 10.0)[:, None]
    latents, held_out = (
        (centers[codes] + scale * rng.normal(size=(400, 3))).astype(np.float32) for _ in range(2)
    )
    head = NeighborsHead.train(latents, codes, held_out, n_neighbors=15, n_labels=2)
    _, distance = head.vote(held_out)
    assert np.median(distance[codes == 0]) == pytest.approx(np.median(distance[codes == 1]), rel=0.1)


def test_depth_follows_the_cells_per_label():
    assert depth_for(np.repeat([0, 1], 10), 6) == 2
    assert depth_for(np.repeat([0, 1], 600), 6) == 4
    assert depth_for(np.repeat([0, 1], 100_000), 6) == 6
    assert depth_for(np.repeat([0, 1], 100_000), 1) == 1


def test_trees_on_marker_values_are_those_on_latents(tmp_path):
    """Stored under another name, and applied to sparse values."""
    values, codes = blobs((400, 400, 400), spread=1.5)
    validation = blobs((40, 40, 40), seed=1, spread=1.5)
    settings = {"n_labels": 3, "n_trees": 20, "max_depth": 4, "learning_rate": 0.3}
    given = (values, codes, validation)
    on_latents, on_markers = (
        head.train(*given, **settings, threads=1, seed=0) for head in (XGBoostHead, ExpressionXGBoostHead)
    )
    on_markers.save(tmp_path)
    (read,) = load_heads(tmp_path, ["expression_xgboost"], threads=1).values()
    query = blobs((30, 30, 30), seed=2, spread=1.5)[0]
    expected = on_latents.probabilities(query)
    for head in (on_markers, read):
        assert np.array_equal(head.probabilities(sparse.csr_matrix(query)), expected)
        assert head.probabilities(sparse.csr_matrix(query)[:0]).shape == (0, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"expression_xgboost.npz", "expression_xgboost.ubj"}


def test_more_neighbors_that_are_looked_for_change_no_vote():
    latents, codes = blobs((900, 900, 900), spread=2.0)
    query, _ = blobs((100, 100, 100), seed=2, spread=2.0)
    heads = [NeighborsHead.train(latents, codes, query[:0], n_neighbors=15, n_labels=3) for _ in range(2)]
    heads[1] = NeighborsHead(
        heads[1].latents, codes, heads[1].spread, heads[1].groups,
        n_neighbors=15, n_labels=3, n_searched=20, far=heads[1].far,
    )  # fmt: skip
    assert heads[1].search(query)[0].shape == (300, 20)
    for found, expected in zip(heads[1].vote(query), heads[0].vote(query), strict=True):
        assert np.array_equal(found, expected)
