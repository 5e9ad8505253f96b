"""gather_predictions: one table and one annotated file per query, with every cell in its order."""

import json
import re

import anndata as ad
import jsonschema
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from annotation_schema import BICAN
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.labels.colors import REFERENCE_COLOR, colors_of
from cellferry.resources.budget import Budget
from cellferry.runs.hashes import MADE_FROM, of_predictions
from example_artifacts import hierarchy_of, write_reference_labels
from gather_predictions import gather_predictions
from scipy import sparse
from sklearn.decomposition import PCA

NAMES = np.array([f"barcode-{row}" for row in (3, 1, 2, 0, 5, 4)], dtype=object)
SIZES = {"γ": 90, "T, CD4": 400, "not met": 5}
CHUNKS = [slice(0, 2), slice(2, 2), slice(2, 6)]


@pytest.fixture
def query(tmp_path):
    """Six cells in three chunks, the second of them empty, the third alone with a truth."""
    counts = sparse.csr_matrix(np.arange(24, dtype=np.float32).reshape(6, 4))
    genes = pd.DataFrame(index=["g1", "g2", "g3", "g4"])
    common = tmp_path / "common.h5ad"
    with H5adWriter(common, genes) as writer:
        obs = {
            "batch": np.array(["a", "b"] * 3, dtype=object),
            "label": np.array([None, None, "T, CD4", None, 'B "x"', "T, CD4"], dtype=object),
            "age": np.array([30, 31, 32, 33, 34, 35]),
            "probability": np.array([0.0] * 6),
            "treated": np.array([True, False] * 3),
            "site": np.array(["gut", None] * 3, dtype=object),
            "note": np.array([None] * 6, dtype=object),
            "dose": np.array([0.5, np.nan] * 3),
        }
        writer.append(counts, NAMES, obs)
    latents = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    predictions, mapped = [], []
    for number, chunk in enumerate(CHUNKS):
        columns = {"cell": pa.array(NAMES[chunk], pa.string())}
        label = pa.array(["T, CD4", "unknown", 'B "x"', "γ", "T, CD4", "T, CD4"][chunk], pa.string())
        table = columns | {
            "label": label,
            "level": pa.array(["label", None, *["label"] * 4][chunk], pa.string()),
            "reason": pa.array([None, "ambiguous", *[None] * 4][chunk], pa.string()),
            "probability": pa.array(np.linspace(0, 1, 6)[chunk], pa.float32()),
        }
        if number == 2:
            table["truth"] = pa.array(["T, CD4", None, 'B "x"', "T, CD4"], pa.string())
        predictions.append(str(tmp_path / f"predictions{number}.parquet"))
        pq.write_table(pa.table(table), predictions[-1])
        mapped.append(str(tmp_path / f"mapped{number}.parquet"))
        columns |= {f"latent_{j}": latents[chunk, j] for j in range(3)}
        pq.write_table(pa.table(columns), mapped[-1])
    reference = np.random.default_rng(1).normal(size=(50, 3)) * [1, 5, 3] + [9, 0, -9]
    (tmp_path / "classifier").mkdir()
    columns = {f"latent_{j}": reference[:, j].astype(np.float32) for j in range(3)}
    pq.write_table(pa.table(columns), tmp_path / "classifier" / "neighbors.parquet")
    write_reference_labels(tmp_path / "labels.json", list(SIZES), sizes=SIZES)
    inputs = {"predictions": predictions, "mapped": mapped, "common": str(common)}
    inputs |= {"classifier": str(tmp_path / "classifier"), "labels": str(tmp_path / "labels.json")}
    return inputs, counts, latents


def gather(query, tmp_path, *, counts=True, **changed):
    outputs = {
        "parquet": tmp_path / "out.parquet",
        "csv": tmp_path / "out.csv.gz",
        "labeled": tmp_path / "labeled.h5ad",
        "annotations": tmp_path / "labeled.cas.json",
    }
    gather_predictions(
        **query | changed,
        **{key: str(path) for key, path in outputs.items()},
        counts=counts,
        budget=Budget(2000),
    )
    return outputs


def with_hashes(paths, made_from):
    for path, hashes in zip(paths, made_from, strict=True):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({MADE_FROM: json.dumps(hashes)}), path)


def test_hashes_of_what_they_were_made_from_are_carried_along(query, tmp_path):
    with_hashes(query[0]["predictions"], [{"model": "0123", "rules": "4567"}] * 3)
    outputs = gather(query[0], tmp_path)
    assert of_predictions([outputs["parquet"]]) == {"model": "0123", "rules": "4567"}
    labeled = ad.read_h5ad(outputs["labeled"])
    assert labeled.uns["cellferry"]["made_from"] == {"model": "0123", "rules": "4567"}


def test_the_expected_error_is_one_less_the_mean_probability_of_the_labels_given(
    query, tmp_path, monkeypatch
):
    monkeypatch.setattr("cellferry.report.label_counts.MIN_CELLS_OF_LABEL", 2)
    outputs = gather(query[0], tmp_path)
    expected = json.loads(pq.read_schema(outputs["parquet"]).metadata[b"expected_error"])
    # One of six cells is unknown (.2); the labels of the others have probabilities 0, .4, .6, .8 and 1.
    assert expected["of_all"] == pytest.approx(1 - 0.56)
    assert expected["by_label"] == {"T, CD4": pytest.approx(1 - 0.6)}
    labeled = ad.read_h5ad(outputs["labeled"])
    assert labeled.uns["cellferry"]["expected_error"] == pytest.approx(1 - 0.56)


def test_without_labels_there_is_no_expected_error(query, tmp_path):
    for path in query[0]["predictions"]:
        table = pq.read_table(path)
        unknown = {"label": ["unknown"] * len(table), "level": [None] * len(table)}
        for name, values in unknown.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
        pq.write_table(table, path)
    outputs = gather(query[0], tmp_path)
    expected = json.loads(pq.read_schema(outputs["parquet"]).metadata[b"expected_error"])
    assert expected == {"of_all": None, "by_label": {}}
    assert np.isnan(ad.read_h5ad(outputs["labeled"]).uns["cellferry"]["expected_error"])


def test_chunks_of_different_models_are_not_put_together(query, tmp_path):
    with_hashes(query[0]["predictions"], [{"model": "a"}, {"model": "a"}, {"model": "b"}])
    with pytest.raises(RuntimeError, match="not predicted by the same model and settings; delete"):
        gather(query[0], tmp_path)
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "labeled.h5ad").exists()


def test_table_has_every_cell_in_order(query, tmp_path):
    found = pd.read_parquet(gather(query[0], tmp_path)["parquet"])
    assert found["cell"].tolist() == list(NAMES)
    assert list(found.columns) == ["cell", "label", "level", "reason", "probability", "truth"]
    assert found["truth"].isna().tolist() == [True, True, False, True, False, False]


def test_csv_says_the_same(query, tmp_path):
    outputs = gather(query[0], tmp_path)
    written = pd.read_csv(outputs["csv"])
    expected = pd.read_parquet(outputs["parquet"])
    for column in ("cell", "label"):
        assert written[column].tolist() == expected[column].tolist()
    assert written["truth"].isna().tolist() == expected["truth"].isna().tolist()
    np.testing.assert_allclose(written["probability"], expected["probability"], rtol=1e-6)


def test_labeled_file_is_plain_anndata(query, tmp_path):
    inputs, counts, latents = query
    adata = ad.read_h5ad(gather(inputs, tmp_path)["labeled"])
    assert (counts != adata.X).nnz == 0
    assert adata.obs_names.tolist() == list(NAMES)
    assert adata.var_names.tolist() == ["g1", "g2", "g3", "g4"]
    assert adata.obsm["X_cellferry"].dtype == np.float32
    np.testing.assert_array_equal(adata.obsm["X_cellferry"], latents)
    assert "cellferry" in adata.uns["cellferry"]["versions"]
    assert list(adata.obs.columns) == [
        "batch", "age", "probability_input", "treated", "site", "note", "dose", "label", "level",
        "reason", "probability", "truth",
    ]  # fmt: skip
    dtypes = adata.obs.dtypes.astype(str).to_dict()
    assert dtypes["label"] == dtypes["batch"] == dtypes["truth"] == "category"
    assert dtypes["probability"] == "float32"
    assert dtypes["age"] == "int64"
    assert dtypes["treated"] == "bool"
    assert adata.obs["site"].isna().tolist() == [False, True] * 3
    assert adata.obs["label"].tolist() == pd.read_parquet(tmp_path / "out.parquet")["label"].tolist()


def colors_in(adata, column):
    return dict(zip(adata.obs[column].cat.categories, adata.uns[f"{column}_colors"], strict=True))


def test_labels_stand_in_the_order_of_the_references_and_have_its_colors(query, tmp_path):
    adata = ad.read_h5ad(gather(query[0], tmp_path)["labeled"])
    colors = colors_of(SIZES, hierarchy_of(list(SIZES)))
    assert adata.obs["label"].cat.categories.tolist() == ["T, CD4", "γ", "unknown", 'B "x"']
    assert colors_in(adata, "label") == {
        "T, CD4": colors["T, CD4"], "γ": colors["γ"], "unknown": colors["unknown"], 'B "x"': REFERENCE_COLOR,
    }  # fmt: skip
    # A missing truth is a category too, and the last: viewers do not support missing ones.
    assert adata.obs["truth"].tolist() == ["none", "none", "T, CD4", "none", 'B "x"', "T, CD4"]
    assert adata.obs["truth"].cat.categories.tolist() == ["T, CD4", 'B "x"', "none"]
    assert colors_in(adata, "truth")["T, CD4"] == colors["T, CD4"]


def test_places_are_the_latents_first_two_principal_components_among_the_reference(query, tmp_path):
    adata = ad.read_h5ad(gather(query[0], tmp_path)["labeled"])
    reference = pd.read_parquet(tmp_path / "classifier" / "neighbors.parquet").to_numpy()
    expected = PCA(2).fit(reference.astype(np.float64)).transform(query[2])
    found = adata.obsm["X_cellferry_pca"]
    assert found.dtype == np.float32
    # An axis has no direction of its own.
    np.testing.assert_allclose(found * np.sign(found[0]), expected * np.sign(expected[0]), rtol=1e-4)


def check_for_cellxgene(adata):
    """Check what CELLxGENE's adaptor of AnnData requires, by its code (version 1.3.0)."""
    assert adata.obs.columns.is_unique
    assert adata.var.columns.is_unique
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    assert adata.X[0, 0:1].shape == (1, 1)
    assert adata.X.dtype == np.float32
    for table in (adata.obs, adata.var):
        for name, column in table.items():
            if isinstance(column.dtype, pd.CategoricalDtype):
                assert all(isinstance(category, str) for category in column.cat.categories), name
            elif column.dtype.kind in "iu":
                assert np.can_cast(column.dtype, np.int32) or column.abs().max() < 2**31, name
            else:
                assert column.dtype.kind in "bf", name
    places = [value for name, value in adata.obsm.items() if name.startswith("X_")]
    assert places
    for array in places:
        assert type(array) is np.ndarray
        assert array.dtype.kind == "f"
        assert array.shape[0] == adata.n_obs
        assert array.shape[1] >= 2
        assert np.isfinite(array).all()
    for name in adata.uns:
        if name.endswith("_colors"):
            colors = colors_in(adata, name.removesuffix("_colors"))
            assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in colors.values())


def test_cellxgene_can_open_it(query, tmp_path):
    adata = ad.read_h5ad(gather(query[0], tmp_path)["labeled"])
    check_for_cellxgene(adata)
    # None of the predictions is missing there.
    assert not adata.obs[["label", "probability", "truth"]].isna().to_numpy().any()


@pytest.mark.parametrize("counts", [True, False])
def test_scanpy_can_plot_and_write_it(query, tmp_path, counts):
    sc = pytest.importorskip("scanpy")
    adata = sc.read_h5ad(gather(query[0], tmp_path, counts=counts)["labeled"])
    before = colors_in(adata, "label")
    for basis in ("X_cellferry", "X_cellferry_pca"):
        sc.pl.embedding(adata, basis, color=["label", "probability", "truth"], show=False)
    plt.close("all")
    # scanpy kept the colors, and did not make its own.
    assert colors_in(adata, "label") == before
    adata.write_h5ad(tmp_path / "again.h5ad")
    again = sc.read_h5ad(tmp_path / "again.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    assert colors_in(again, "label") == before


def test_without_counts_all_else_is_the_same(query, tmp_path):
    whole = ad.read_h5ad(gather(query[0], tmp_path)["labeled"])
    (tmp_path / "lean").mkdir()
    lean = ad.read_h5ad(gather(query[0], tmp_path / "lean", counts=False)["labeled"])
    assert lean.X is None
    assert lean.shape == whole.shape
    pd.testing.assert_frame_equal(lean.obs, whole.obs)
    pd.testing.assert_frame_equal(lean.var, whole.var)
    for key in whole.obsm:
        np.testing.assert_array_equal(lean.obsm[key], whole.obsm[key])
    assert lean.uns["label_colors"].tolist() == whole.uns["label_colors"].tolist()


def test_coordinates_go_to_obsm_as_they_are(query, tmp_path):
    inputs, counts, _ = query
    # Too large and fine for float32; one cell has no coordinates.
    places = np.array([[123456.0625 + row, 3.25, row] for row in range(6)])
    places[4] = np.nan
    obs = {
        "batch": np.array(["a"] * 6, dtype=object),
        "spatial_section": np.array(["s1", "s2"] * 3, dtype=object),
    }
    obs |= {f"spatial_{axis}": places[:, number] for number, axis in enumerate("xyz")}
    with H5adWriter(inputs["common"], pd.DataFrame(index=["g1", "g2", "g3", "g4"])) as writer:
        writer.append(counts, NAMES, obs)
    adata = ad.read_h5ad(gather(inputs, tmp_path)["labeled"])
    assert adata.obsm["spatial"].dtype == np.float64
    assert np.array_equal(adata.obsm["spatial"], places, equal_nan=True)
    assert adata.obs["spatial_section"].tolist() == ["s1", "s2"] * 3
    assert not [column for column in adata.obs if column in ("spatial_x", "spatial_y", "spatial_z")]


def test_too_many_prediction_sets_stand_in_the_table_alone(query, tmp_path, monkeypatch, capsys):
    for number, path in enumerate(query[0]["predictions"]):
        table = pq.read_table(path)
        sets = pa.array([f"set {number} {row}" for row in range(len(table))], pa.string())
        pq.write_table(table.append_column("prediction_set", sets), path)
    monkeypatch.setattr("gather_predictions.MAX_CATEGORIES", 5)
    outputs = gather(query[0], tmp_path)
    assert pd.read_parquet(outputs["parquet"])["prediction_set"].nunique() == 6
    assert "prediction_set" not in ad.read_h5ad(outputs["labeled"]).obs
    assert "prediction_set has more than 5 values" in capsys.readouterr().out


def test_annotations_are_those_of_the_table_and_of_obs(query, tmp_path):
    outputs = gather(query[0], tmp_path)
    found = json.loads(outputs["annotations"].read_text(encoding="utf-8"))
    jsonschema.validate(found, BICAN)
    assert found["title"] == "labeled"
    counts = {each["cell_label"]: each["author_annotation_fields"]["cells"] for each in found["annotations"]}
    assert counts == pd.read_parquet(outputs["parquet"])["label"].value_counts().to_dict()
    obs = ad.read_h5ad(outputs["labeled"]).obs
    assert {each["name"] for each in found["labelsets"]} <= set(obs)
    for each in found["annotations"]:
        assert each["cell_ids"] == obs.index[obs[each["labelset"]] == each["cell_label"]].tolist()


def test_chunks_in_the_wrong_order_are_refused(query, tmp_path):
    wrong = query[0]["predictions"][::-1]
    with pytest.raises(RuntimeError, match="cell 0 of 6 is not the one in the chunks"):
        gather(query[0], tmp_path, predictions=wrong)
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "labeled.h5ad").exists()


@pytest.mark.parametrize("chunked", ["predictions", "mapped"])
def test_a_missing_chunk_is_refused(query, tmp_path, chunked):
    with pytest.raises(RuntimeError, match="has 6 cells, but the chunks hold 2"):
        gather(query[0], tmp_path, **{chunked: query[0][chunked][:1]})
    assert [path.name for path in tmp_path.glob("*out*")] == []


def test_chunks_are_opened_as_often_with_many_columns_as_with_few(query, tmp_path, monkeypatch):
    opened, open_file = [], pq.ParquetFile.__init__
    monkeypatch.setattr(
        pq.ParquetFile, "__init__", lambda *args, **given: opened.append(1) or open_file(*args, **given)
    )
    gather(query[0], tmp_path)
    few, wider = len(opened), []
    for path in query[0]["predictions"]:
        table = pq.read_table(path)
        for number in range(20):
            table = table.append_column(f"head{number}_label", table.column("label"))
        wider.append(path.replace("predictions", "wider"))
        pq.write_table(table, wider[-1])
    opened.clear()
    gather(query[0], tmp_path, predictions=wider)
    assert len(opened) == few


def test_more_cells_than_the_file_has_are_refused(query, tmp_path):
    chunks = query[0]["predictions"]
    with pytest.raises(RuntimeError, match="not the one in the chunks"):
        gather(query[0], tmp_path, predictions=[*chunks, chunks[0]])
