"""map_query: latents that depend on the cell alone, not on chunks, blocks or labels."""

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scvi
from batch_weights import mean_batch_weights
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.mapping.encoder import Encoder
from cellferry.model.plain_arrays import encoder_of
from cellferry.resources.budget import Budget
from map_query import map_query
from simulate import simulate_cells, write_cells
from told import tells_progress


@pytest.fixture
def mapped(trained, tmp_path):
    def run(cells, *, chunks, model=None, dataset="atlas"):
        write_cells(tmp_path / "common.h5ad", cells, dataset)
        tables = []
        for chunk in range(chunks):
            map_query(
                str(tmp_path / "common.h5ad"),
                str(model or trained.folder / "model"),
                str(tmp_path / f"{chunk}.parquet"),
                chunk=chunk,
                chunks=chunks,
                budget=Budget(4000),
                threads=1,
            )
            tables.append(pd.read_parquet(tmp_path / f"{chunk}.parquet"))
        return pd.concat(tables, ignore_index=True)

    return run


@pytest.fixture
def query():
    return simulate_cells(150, n_genes=60, batches=("a", "b"), seed=9)


def latent(table):
    return table.filter(like="latent_").to_numpy()


def test_cells_keep_name_batch_label_and_order(mapped, query):
    table = mapped(query, chunks=4)
    assert list(table["cell"]) == list(query.obs_names)
    assert list(table["batch"]) == [f"atlas/{sample}" for sample in query.obs["sample"]]
    assert list(table["label"]) == list(query.obs["cell_type"])
    assert latent(table).dtype == np.float32
    assert latent(table).shape == (150, 4)


@pytest.mark.parametrize("chunks", [7, 25])
def test_latents_do_not_depend_on_chunks_or_blocks(mapped, query, chunks, monkeypatch):
    whole = latent(mapped(query, chunks=1))
    ranges = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, _, *rows: ranges(self, 2000, *rows))
    np.testing.assert_allclose(latent(mapped(query, chunks=chunks)), whole, atol=1e-5)


def test_latents_are_what_scvi_tools_gives(trained, mapped, query):
    cells = ad.AnnData(query.X.copy(), obs=query.obs.copy(), var=query.var.copy())
    cells.obs["batch"] = [f"atlas/{sample}" for sample in query.obs["sample"]]
    model = scvi.model.SCVI.load(str(trained.folder / "model"), adata=cells)
    np.testing.assert_allclose(latent(mapped(query, chunks=3)), model.get_latent_representation(), atol=1e-5)


def test_the_log_tells_how_far_it_is(mapped, query, monkeypatch, capsys):
    ranges = H5adReader.ranges
    monkeypatch.setattr(H5adReader, "ranges", lambda self, _, *rows: ranges(self, 2000, *rows))
    mapped(query, chunks=1)
    assert tells_progress(capsys.readouterr().out, "mapped")


def test_a_chunk_without_cells_is_an_empty_table(mapped, query, tmp_path):
    assert len(mapped(query[:2].copy(), chunks=3)) == 2
    assert pq.read_schema(tmp_path / "0.parquet").names[-1] == "latent_3"
    assert pq.read_metadata(tmp_path / "0.parquet").num_rows == 0


def test_a_cell_without_counts_is_mapped(mapped, query):
    query.X = query.X.multiply(np.arange(150)[:, None] > 0).tocsr().astype(np.float32)
    assert np.isfinite(latent(mapped(query, chunks=1))).all()


def fitted_to(trained, query, folder):
    """A model with weights for the query's batches, and its cells as scvi-tools takes them."""
    cells = ad.AnnData(query.X.copy(), obs=query.obs.copy(), var=query.var.copy())
    cells.obs["batch"] = [f"patients/{sample}" for sample in query.obs["sample"]]
    model = scvi.model.SCVI.load_query_data(cells, str(trained.folder / "model"))
    model.train(max_epochs=1, batch_size=128, plan_kwargs={"weight_decay": 0.0}, accelerator="cpu")
    save(model, trained, folder)
    return model, cells


def save(model, trained, folder):
    model.save(str(folder))
    reference = Encoder.load(trained.folder / "model", model.adata.var_names)
    encoder_of(model).beside(reference).save(folder)


def test_cells_of_new_batches_are_mapped_in_two_ways(trained, mapped, query, tmp_path):
    model, cells = fitted_to(trained, query, tmp_path / "fitted")
    table = mapped(query, chunks=3, model=tmp_path / "fitted", dataset="patients")
    np.testing.assert_allclose(latent(table), model.get_latent_representation(), atol=1e-5)
    unfitted = table.filter(like="unfitted_").to_numpy()
    assert unfitted.shape == latent(table).shape
    as_it_is = mean_batch_weights(model, str(trained.folder / "model"))
    np.testing.assert_allclose(unfitted, as_it_is.get_latent_representation(cells), atol=1e-5)
    assert np.abs(unfitted - latent(table)).max() > 0.01


def test_a_model_that_was_not_fitted_maps_once(trained, mapped, query, tmp_path):
    model, _ = fitted_to(trained, query, tmp_path / "fitted")
    save(mean_batch_weights(model, str(trained.folder / "model")), trained, tmp_path / "as_it_is")
    table = mapped(query, chunks=1, model=tmp_path / "as_it_is", dataset="patients")
    assert table.filter(like="unfitted_").shape[1] == 0
    assert table.filter(like="latent_").shape[1] == 4
