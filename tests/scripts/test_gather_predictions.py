import json

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.budget import Budget
from cellferry.fingerprints import MADE_FROM, of_predictions
from cellferry.h5ad import H5adWriter
from gather_predictions import gather_predictions
from scipy import sparse

NAMES = np.array([f"barcode-{row}" for row in (3, 1, 2, 0, 5, 4)], dtype=object)
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
        }
        writer.append(counts, NAMES, obs)
    latents = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    predictions, mapped = [], []
    for number, chunk in enumerate(CHUNKS):
        columns = {"cell": pa.array(NAMES[chunk], pa.string())}
        label = pa.array(["T, CD4", "unknown", 'B "x"', "γ", "T, CD4", "T, CD4"][chunk], pa.string())
        table = columns | {"label": label, "probability": pa.array(np.linspace(0, 1, 6)[chunk], pa.float32())}
        if number == 2:
            table["truth"] = pa.array(["T, CD4", None, 'B "x"', "T, CD4"], pa.string())
        predictions.append(str(tmp_path / f"predictions{number}.parquet"))
        pq.write_table(pa.table(table), predictions[-1])
        mapped.append(str(tmp_path / f"mapped{number}.parquet"))
        columns |= {f"latent_{j}": latents[chunk, j] for j in range(3)}
        pq.write_table(pa.table(columns), mapped[-1])
    return {"predictions": predictions, "mapped": mapped, "common": str(common)}, counts, latents


def gather(query, tmp_path, **changed):
    outputs = {
        "parquet": tmp_path / "out.parquet",
        "csv": tmp_path / "out.csv.gz",
        "labelled": tmp_path / "labelled.h5ad",
    }
    gather_predictions(
        **query | changed, **{key: str(path) for key, path in outputs.items()}, budget=Budget(2000)
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
    labelled = ad.read_h5ad(outputs["labelled"])
    assert labelled.uns["cellferry"]["made_from"] == {"model": "0123", "rules": "4567"}


def test_chunks_of_different_models_are_not_put_together(query, tmp_path):
    with_hashes(query[0]["predictions"], [{"model": "a"}, {"model": "a"}, {"model": "b"}])
    with pytest.raises(RuntimeError, match="not predicted by the same model and settings; delete"):
        gather(query[0], tmp_path)
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "labelled.h5ad").exists()


def test_table_has_every_cell_in_order(query, tmp_path):
    found = pd.read_parquet(gather(query[0], tmp_path)["parquet"])
    assert found["cell"].tolist() == list(NAMES)
    assert list(found.columns) == ["cell", "label", "probability", "truth"]
    assert found["truth"].isna().tolist() == [True, True, False, True, False, False]


def test_csv_says_the_same(query, tmp_path):
    outputs = gather(query[0], tmp_path)
    written = pd.read_csv(outputs["csv"])
    expected = pd.read_parquet(outputs["parquet"])
    for column in ("cell", "label"):
        assert written[column].tolist() == expected[column].tolist()
    assert written["truth"].isna().tolist() == expected["truth"].isna().tolist()
    np.testing.assert_allclose(written["probability"], expected["probability"], rtol=1e-6)


def test_labelled_file_is_plain_anndata(query, tmp_path):
    inputs, counts, latents = query
    adata = ad.read_h5ad(gather(inputs, tmp_path)["labelled"])
    assert (counts != adata.X).nnz == 0
    assert adata.obs_names.tolist() == list(NAMES)
    assert adata.var_names.tolist() == ["g1", "g2", "g3", "g4"]
    assert adata.obsm["X_cellferry"].dtype == np.float32
    np.testing.assert_array_equal(adata.obsm["X_cellferry"], latents)
    assert "cellferry" in adata.uns["cellferry"]["versions"]
    assert list(adata.obs.columns) == [
        "batch", "age", "probability_input", "label", "probability", "truth",
    ]  # fmt: skip
    dtypes = adata.obs.dtypes.astype(str).to_dict()
    assert dtypes["label"] == dtypes["batch"] == dtypes["truth"] == "category"
    assert dtypes["probability"] == "float32"
    assert dtypes["age"] == "int64"
    assert set(adata.obs["truth"].cat.categories) == {"T, CD4", 'B "x"'}
    assert adata.obs["label"].tolist() == pd.read_parquet(tmp_path / "out.parquet")["label"].tolist()


def test_scanpy_can_plot_and_write_it(query, tmp_path):
    sc = pytest.importorskip("scanpy")
    adata = sc.read_h5ad(gather(query[0], tmp_path)["labelled"])
    sc.pl.embedding(adata, "X_cellferry", color=["label", "probability", "truth"], show=False)
    adata.write_h5ad(tmp_path / "again.h5ad")


def test_chunks_in_the_wrong_order_are_refused(query, tmp_path):
    wrong = query[0]["predictions"][::-1]
    with pytest.raises(RuntimeError, match="cell 0 of 6 is not the one in the chunks"):
        gather(query[0], tmp_path, predictions=wrong)
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "labelled.h5ad").exists()


@pytest.mark.parametrize("chunked", ["predictions", "mapped"])
def test_a_missing_chunk_is_refused(query, tmp_path, chunked):
    with pytest.raises(RuntimeError, match="has 6 cells, but the chunks hold 2"):
        gather(query[0], tmp_path, **{chunked: query[0][chunked][:1]})
    assert [path.name for path in tmp_path.glob("*out*")] == []


def test_more_cells_than_the_file_has_are_refused(query, tmp_path):
    chunks = query[0]["predictions"]
    with pytest.raises(RuntimeError, match="not the one in the chunks"):
        gather(query[0], tmp_path, predictions=[*chunks, chunks[0]])
