"""Transformed and scaled intensities, equal to numpy's and scikit-learn's, and cofactors."""

import json

import numpy as np
import pytest
from cellferry.cytometry.transformation import COFACTORS, LIMITS, Transformation, all_stored, cofactors_of
from cellferry.cytometry.value_kind import ValueKind
from cellferry.errors import InputError
from scipy import sparse
from sklearn.preprocessing import MinMaxScaler

RAW, TRANSFORMED, SCALED = (ValueKind(values, "mass", "") for values in ("raw", "transformed", "scaled"))
MARKERS = ["CD3", "CD19", "HLA-DR", "CD56"]
ALL = np.ones(len(MARKERS), dtype=bool)


def make_values(n_cells=500, seed=0):
    """Raw intensities, negative ones too, some of them zero and so not stored."""
    rng = np.random.default_rng(seed)
    values = 5 * np.sinh(rng.normal([0, 1, 4, 2], 1, (n_cells, len(MARKERS))))
    values[rng.random(values.shape) < 0.05] = 0
    return values.astype(np.float32)


def make_transformation(values, **cofactors):
    cofactors = cofactors_of(cofactors or "auto", MARKERS)
    low, high = np.quantile(np.arcsinh(values / cofactors["mass"]), (0.01, 0.99), axis=0)
    return Transformation(MARKERS, cofactors, low, high)


def expected(values, cofactors, transformation):
    """The same in float64, by scikit-learn."""
    transformed = values.astype(np.float64)
    if cofactors is not None:
        transformed = np.arcsinh(transformed / cofactors)
    scaler = MinMaxScaler().fit(np.vstack([transformation.low, transformation.high]))
    return np.clip(scaler.transform(transformed), *LIMITS)


def dense(transformed):
    assert transformed.dtype == np.float32
    assert transformed.nnz == transformed.shape[0] * transformed.shape[1]  # every value is stored
    assert transformed.has_canonical_format
    return transformed.toarray()


@pytest.mark.parametrize(("technology", "cofactor"), [("mass", 5), ("fluorescence", 150)])
def test_raw_values_become_arcsinh_and_are_scaled(technology, cofactor):
    values = make_values()
    transformation = make_transformation(values)
    found = dense(transformation.of(ValueKind("raw", technology, ""), ALL)(sparse.csr_matrix(values)))
    np.testing.assert_allclose(found, expected(values, cofactor, transformation), atol=2e-6)
    if technology == "mass":  # training values are between 0 and 1 except for the outer quantiles
        assert ((found >= 0) & (found <= 1)).mean(axis=0) == pytest.approx(0.98, abs=0.02)


@pytest.mark.parametrize("seen", [TRANSFORMED, SCALED])
def test_values_that_are_transformed_are_only_scaled(seen):
    values = np.arcsinh(make_values() / 5)
    transformation = make_transformation(make_values())
    found = dense(transformation.of(seen, ALL)(sparse.csr_matrix(values)))
    np.testing.assert_allclose(found, expected(values, None, transformation), atol=2e-6)


def test_the_same_values_raw_and_transformed_elsewhere_become_the_same():
    transformation = make_transformation(make_values())
    query = make_values(seed=1)
    raw = dense(transformation.of(RAW, ALL)(sparse.csr_matrix(query)))
    elsewhere = sparse.csr_matrix(np.arcsinh(query.astype(np.float64) / 5).astype(np.float32))
    np.testing.assert_allclose(dense(transformation.of(TRANSFORMED, ALL)(elsewhere)), raw, atol=2e-6)


def test_blocks_of_a_query_become_what_the_whole_does():
    transform = make_transformation(make_values()).of(RAW, ALL)
    query = sparse.csr_matrix(make_values(seed=1))
    whole = dense(transform(query))
    parts = [dense(transform(query[start : start + 33])) for start in range(0, 500, 33)]
    assert np.array_equal(np.vstack(parts), whole)
    assert transform(query[:0]).shape == (0, 4)


def test_what_is_read_is_not_changed():
    query = sparse.csr_matrix(make_values())
    before = query.copy()
    make_transformation(make_values()).of(RAW, ALL)(query)
    assert (query != before).nnz == 0


def test_far_values_are_cut_off():
    transformation = make_transformation(make_values())
    huge = np.array([[1e30, -1e30, np.float32(3e38), 0]], dtype=np.float32)
    assert dense(transformation.of(RAW, ALL)(sparse.csr_matrix(huge)))[0, :3].tolist() == [2, -1, 2]


def test_markers_that_were_not_measured_are_0():
    """Even if 0 of measured markers is scaled to another value."""
    transformation = make_transformation(make_values())
    measured = np.array([True, False, True, False])
    found = dense(transformation.of(RAW, measured)(sparse.csr_matrix(make_values())))
    assert not found[:, [1, 3]].any()
    everything = dense(transformation.of(RAW, ALL)(sparse.csr_matrix(make_values())))
    assert np.array_equal(found[:, [0, 2]], everything[:, [0, 2]])
    assert everything[:, 3].all()


def test_a_marker_of_one_value_in_the_reference_is_only_moved():
    """As in scikit-learn's scaler: a query's values of it must not outweigh all others."""
    values = make_values()
    values[:, 1] = 0
    transformation = make_transformation(values)
    query = make_values(seed=1)
    found = dense(transformation.of(RAW, ALL)(sparse.csr_matrix(query)))
    np.testing.assert_allclose(found, expected(query, 5, transformation), atol=2e-6)
    np.testing.assert_allclose(found[:, 1], np.clip(np.arcsinh(query[:, 1] / 5), -1, 2), atol=2e-6)


def test_through_json_and_back():
    transformation = make_transformation(make_values(), CD3=7)
    loaded = Transformation.from_json(json.loads(json.dumps(transformation.to_json())))
    query = sparse.csr_matrix(make_values(seed=1))
    for seen in (RAW, ValueKind("raw", "fluorescence", ""), TRANSFORMED):
        assert np.array_equal(dense(loaded.of(seen, ALL)(query)), dense(transformation.of(seen, ALL)(query)))
    assert loaded.markers == MARKERS
    assert loaded.limits == LIMITS


def test_all_values_are_stored():
    values = np.array([[0, 1.5, -2], [0, 0, 0]], dtype=np.float32)
    found = all_stored(values)
    assert found.nnz == 6
    assert found.has_canonical_format
    assert (found.indices.dtype, found.indptr.dtype) == (np.int32, np.int32)
    assert np.array_equal(found.toarray(), values)
    assert all_stored(values[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("given", "mass", "fluorescence"),
    [
        ("auto", [5, 5, 5, 5], [150, 150, 150, 150]),
        (10, [10, 10, 10, 10], [10, 10, 10, 10]),
        (0.5, [0.5] * 4, [0.5] * 4),
        ({"cd-19": 20, "139La_HLADR": 30.5}, [5, 20, 30.5, 5], [150, 20, 30.5, 150]),
    ],
)
def test_cofactors(given, mass, fluorescence):
    found = cofactors_of(given, MARKERS)
    assert found["mass"].tolist() == mass
    assert found["fluorescence"].tolist() == fluorescence


def test_cofactors_of_markers_that_there_are_not():
    with pytest.raises(
        InputError,
        match=r"cytometry\.cofactor: names CD20, CD 21, .* \(CD3, CD19, HLA-DR, CD56\); correct it",
    ):
        cofactors_of({"CD3": 5, "CD20": 6, "CD 21": 7}, MARKERS)


def test_technologies_have_their_cofactors():
    assert COFACTORS == {"mass": 5, "fluorescence": 150}
