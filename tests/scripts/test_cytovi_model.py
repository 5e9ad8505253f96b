"""CytoVI in the chain: trained from disk on two panels, fitted to queries or not, mapped as scvi does."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scvi
import torch
from batch_weights import mean_batch_weights
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.settings import MarkerSettings, ModelSettings
from cellferry.features.subset import GeneFiles
from cellferry.mapping.encoder import CELLS_PER_MINIBATCH, Encoder
from cellferry.model.scvi_models import cells_for_model, known_batches, model_class, new_cytovi, skeleton
from cellferry.resources.budget import Budget
from cellferry.sampling.splits import SPLITS
from fitting import fit_to
from map_query import map_query
from scipy import sparse
from scvi.external import CYTOVI
from select_markers import select_markers
from shuffle_reference import shuffle_reference
from simulate import PANEL, describe_events, settings_like, simulate_events, write_cells
from subset_common_genes import subset_common_genes
from subset_reference import subset_reference
from train_reference_model import train_reference_model

PANELS = {"atlas": PANEL[:8], "second": PANEL[9:1:-1]}
MARKERS = [*PANEL[:8], *PANEL[9:7:-1]]
BACKBONE = PANEL[2:8]
SETTINGS = settings_like(ModelSettings, type="cytovi", n_latent="auto", n_layers=1, n_hidden=16, epochs=3)


def make_common(folder, *, panels=PANELS, batches=("a", "b")):
    """The references' training cells, as earlier rules write them."""
    merged, inspected = {}, {}
    for seed, (name, panel) in enumerate(panels.items()):
        events = simulate_events(400, panel=panel, batches=batches, shift=0.3, seed=seed)
        merged[name] = str(folder / f"{name}.h5ad")
        write_cells(merged[name], events, name)
        inspected[name] = str(folder / f"{name}.json")
        write_artifact(describe_events(events, name), folder / f"{name}.json")
    splits = pa.DictionaryArray.from_arrays(pa.array(np.zeros(400 * len(panels), np.int8)), pa.array(SPLITS))
    pq.write_table(pa.table({"split": splits}), folder / "splits.parquet")
    select_markers(
        merged,
        inspected,
        str(folder / "splits.parquet"),
        genes=str(folder / "genes.tsv"),
        report=str(folder / "genes.json"),
        references=list(panels),
        cofactor="auto",
        settings=settings_like(MarkerSettings),
        seed=0,
        budget=Budget(1000),
    )
    subset_reference(
        merged,
        str(folder / "splits.parquet"),
        GeneFiles(str(folder / "genes.tsv"), str(folder / "genes.json")),
        {part: str(folder / f"{part}.h5ad") for part in SPLITS},
        inspected=list(inspected.values()),
        gene_ids={},
        budget=Budget(700),
    )
    return folder / "train.h5ad"


def train(common, folder, **settings):
    """Shuffle and train; the folder of the model."""
    folder.mkdir(exist_ok=True)
    shuffle_reference(str(common), str(folder / "store.zarr"), seed=0, budget=Budget(1100))
    train_reference_model(
        str(folder / "store.zarr"),
        model=str(folder / "model"),
        history=str(folder / "history.csv"),
        checkpoints=str(folder / "checkpoints"),
        settings=replace(SETTINGS, **settings),
        seed=0,
        threads=1,
        gpu=0,
        minutes=60,
        budget=Budget(4000),
    )
    return folder / "model"


def make_query(folder, panel=PANEL, *, batches=("x", "y")):
    """A query's values of the model's markers."""
    events = simulate_events(300, panel=panel, batches=batches, shift=0.5, seed=9)
    write_cells(folder / "patients.h5ad", events, "patients")
    write_artifact(describe_events(events, "patients"), folder / "patients.json")
    subset_common_genes(
        str(folder / "patients.h5ad"),
        GeneFiles(str(folder / "genes.tsv"), str(folder / "genes.json")),
        str(folder / "query.h5ad"),
        inspected=str(folder / "patients.json"),
        name="patients",
        gene_id="auto",
        min_common=0.3,
        labeled_only=False,
        max_cells=None,
        seed=0,
        budget=Budget(700),
    )
    return folder / "query.h5ad"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of two panels and one of a single batch, with the folders of their inputs."""
    folder, alone = (tmp_path_factory.mktemp(name) for name in ("two_panels", "one_batch"))
    common, one_batch = make_common(folder), make_common(alone, panels={"atlas": PANEL}, batches=("a",))
    query, same_query = make_query(folder), make_query(alone)
    models = {
        "two panels": train(common, folder / "one_layer"),
        "two layers": train(common, folder / "two_layers", n_layers=2, n_latent=5),
        "one batch": train(one_batch, alone / "trained"),
    }
    for name in list(models):
        for how, fit in (("fitted", True), ("as it is", False)):
            path = models[name].parent / how
            queries = same_query if name == "one batch" else query
            models[f"{name}, {how}"] = fit_to(queries, models[name], path, fit=fit, batch_size=128)
    return SimpleNamespace(folder=folder, common=common, query=query, models=models)


def load(folder):
    """A model as scvi-tools loads it, and events of all its batches in turn; new ones have mean weights."""
    n_events = 2 * CELLS_PER_MINIBATCH + 100
    markers = pd.Index(weights_and_names(folder)["var_names"])
    values = np.random.default_rng(0).normal(0.4, 0.5, (n_events, len(markers))).astype(np.float32)
    batches = Encoder.load(folder, markers).batches
    in_turn = np.resize(batches, n_events)
    cells = cells_for_model(sparse.csr_matrix(values), markers, in_turn, np.ones(len(markers)))
    if batches == known_batches(folder):
        return CYTOVI.load(str(folder), adata=cells, accelerator="cpu"), cells
    return mean_batch_weights(CYTOVI.load_query_data(cells, str(folder), accelerator="cpu"), folder), cells


def weights_and_names(folder):
    return torch.load(folder / "model.pt", weights_only=False, map_location="cpu")


def weights(folder):
    found = weights_and_names(folder)["model_state_dict"]
    return {name: weight for name, weight in found.items() if torch.is_tensor(weight)}


MODELS = [
    f"{kind}{how}"
    for kind in ("two panels", "two layers", "one batch")
    for how in ("", ", fitted", ", as it is")
]


@pytest.mark.parametrize("name", MODELS)
def test_latents_are_scvi_tools_own(trained, name):
    model, cells = load(trained.models[name])
    encoder = Encoder.load(trained.models[name], cells.var_names)
    codes = np.array([encoder.batches.index(batch) for batch in cells.obs["batch"]])
    values = sparse.csr_matrix(cells.X)
    latents = encoder.latents(values, codes)[0]
    expected = model.get_latent_representation(cells)
    assert latents.dtype == np.float32
    assert (np.abs(latents - expected) <= 1e-5 * expected.std(axis=0)).all()
    if name != "one batch":  # batches are used, and not confused
        other = encoder.latents(values, np.roll(codes, 1))[0]
        differs = (np.abs(other - expected) > 1e-3 * expected.std(axis=0)).any(axis=1).mean()
        # New batches are treated equally until the model is fitted to them.
        shares = {"two panels, as it is": 5 / 6, "two layers, as it is": 5 / 6, "one batch, as it is": 0}
        assert differs == pytest.approx(shares.get(name, 1), abs=0.01)
    # Only markers of the backbone are used, whatever the mask of measured values.
    hidden = ~np.isin(cells.var_names, BACKBONE if name.startswith("two") else PANEL)
    cells.X[:, hidden] = 100
    cells.layers["_nan_mask"][:, hidden] = 0
    assert np.array_equal(model.get_latent_representation(cells), expected)
    assert np.array_equal(encoder.latents(sparse.csr_matrix(cells.X), codes)[0], latents)


def test_the_saved_model_is_an_ordinary_one(trained):
    """Its markers are in order, and its batches have the names of datasets and samples."""
    model, _ = load(trained.models["two panels"])
    assert model_class(str(trained.models["two panels"])) is CYTOVI
    assert list(weights_and_names(trained.models["two panels"])["var_names"]) == MARKERS
    assert set(known_batches(str(trained.models["two panels"]))) == {
        f"{name}/{sample}" for name in PANELS for sample in "ab"
    }
    assert model.module.encoder_marker_mask.tolist() == [marker in BACKBONE for marker in MARKERS]
    assert model.module.n_latent == 10  # CytoVI's heuristic: half of the markers, 10 at least
    assert model.module.protein_likelihood == "normal"
    common = ad.read_h5ad(trained.common)
    cells = cells_for_model(common.X, common.var_names, common.obs["batch"].astype(str), np.ones(10))
    model.get_latent_representation(cells)
    decoded = model.get_normalized_expression(cells, batch_size=100)
    assert list(decoded.columns) == MARKERS
    assert np.isfinite(decoded.to_numpy()).all()


def test_labels_lie_apart(trained):
    """The network was trained for a few epochs only, with three labels."""
    folder = trained.models["two panels"]
    map_query(
        str(trained.common),
        str(folder),
        str(trained.folder / "mapped.parquet"),
        chunk=0,
        chunks=1,
        budget=Budget(2000),
        threads=1,
    )
    mapped = pd.read_parquet(trained.folder / "mapped.parquet")
    latents = mapped.filter(like="latent_").to_numpy()
    model, _ = load(folder)
    common = ad.read_h5ad(trained.common)
    cells = cells_for_model(common.X, common.var_names, common.obs["batch"].astype(str), np.ones(10))
    expected = model.get_latent_representation(cells)
    assert (np.abs(latents - expected) <= 1e-5 * expected.std(axis=0)).all()
    labels = mapped["label"].to_numpy()
    centers = {label: latents[labels == label].mean(axis=0) for label in set(labels)}
    nearest = [min(centers, key=lambda label: np.sum((row - centers[label]) ** 2)) for row in latents]
    assert np.mean(labels == nearest) > 0.8


def changed(trained, folder, *, where):
    """Weights of a model of other values: of those that were not `measured`, or of as many that were."""
    with H5adReader(trained.common) as reader:
        var, values = reader.var, reader.counts(0, reader.n_cells).toarray()
        names, obs = (
            reader.names(0, len(values)),
            {c: reader.obs(c, 0, len(values)) for c in reader.obs_columns},
        )
    measured = np.ones(values.shape, dtype=bool)
    measured[:400, 8:] = measured[400:, :2] = False
    assert not values[~measured].any()
    change = ~measured if where == "missing" else np.roll(~measured, 2, axis=1) & measured
    values[change] += np.random.default_rng(0).normal(0, 3, np.count_nonzero(change))
    with H5adWriter(folder / "changed.h5ad", var) as writer:
        writer.append(sparse.csr_matrix(values), names, obs)
        writer.write_uns(dataset="reference", values="intensities")
    return weights(train(folder / "changed.h5ad", folder / "trained"))


def test_a_value_that_was_not_measured_has_no_influence(trained, tmp_path):
    """Any value in its place in the store gives the same weights to the last bit."""
    found = changed(trained, tmp_path, where="missing")
    for name, weight in weights(trained.models["two panels"]).items():
        assert torch.equal(found[name], weight), name


def test_a_value_that_was_measured_has_one(trained, tmp_path):
    found = changed(trained, tmp_path, where="measured")
    same = [
        torch.equal(found[name], weight) for name, weight in weights(trained.models["two panels"]).items()
    ]
    assert not any(same)


@pytest.mark.parametrize("name", ["two panels", "two layers", "one batch"])
def test_weights_of_the_reference_stay(trained, name):
    reference, query = weights(trained.models[name]), weights(trained.models[f"{name}, fitted"])
    grown = set()
    for key, weight in reference.items():
        # New batches are further columns of the layers that take the batch; the rest must be as it was.
        assert torch.equal(query[key][tuple(slice(size) for size in weight.shape)], weight), key
        if query[key].shape != weight.shape:
            grown.add(key.split(".")[0])
    assert grown == {"z_encoder", "decoder"}


@pytest.mark.parametrize("name", ["two panels", "two layers", "one batch"])
def test_as_it_is_the_model_is_that_of_the_reference(trained, name):
    reference, query = weights(trained.models[name]), weights(trained.models[f"{name}, as it is"])
    assert reference.keys() == query.keys()
    assert all(torch.equal(query[key], weight) for key, weight in reference.items())


def test_as_it_is_a_model_of_one_batch_maps_others_as_that_one(trained):
    reference, _ = load(trained.models["one batch"])
    model, cells = load(trained.models["one batch, as it is"])
    assert len(set(cells.obs["batch"])) == 3
    latents = model.get_latent_representation(cells)
    cells.obs["batch"] = "atlas/a"
    one = cells_for_model(
        sparse.csr_matrix(cells.X), cells.var_names, np.full(cells.n_obs, "atlas/a"), np.ones(10)
    )
    np.testing.assert_allclose(latents, reference.get_latent_representation(one), atol=1e-5)


@pytest.mark.parametrize("fit", [True, False])
def test_a_query_that_lacks_markers_of_the_backbone(trained, tmp_path, fit):
    for name in ("genes.tsv", "genes.json"):
        shutil.copy(trained.folder / name, tmp_path)
    query = make_query(tmp_path, panel=PANEL[1:5])
    measured = ad.read_h5ad(query).var["measured"]
    assert list(measured.index[measured]) == list(PANEL[1:5])
    model = fit_to(query, trained.models["two panels"], tmp_path / "model", fit=fit, batch_size=128)
    encoder = Encoder.load(model, measured.index)
    assert set(encoder.batches) > {"patients/x", "patients/y"}
    by_mapping = encoder.latents(ad.read_h5ad(query).X, np.full(300, 4))
    assert len(by_mapping) == (2 if fit else 1)
    assert np.isfinite(by_mapping).all()


def test_a_skeleton_of_two_panels_needs_no_value_of_either():
    measured = {"atlas": [True, True, False], "second": [True, False, True]}
    cells = skeleton(["CD3", "CD4", "CD8"], ["atlas/a", "second/a", "second/b"], ["T"], measured)
    assert cells.layers["_nan_mask"].tolist() == [[1, 1, 0], [1, 0, 1], [1, 0, 1]]
    model = new_cytovi(cells, SETTINGS, [True, False, False])
    assert model.backbone_markers == ["CD3"]
    assert model.module.encoder_marker_mask.tolist() == [True, False, False]


def test_the_latent_space_has_as_many_dimensions_as_are_asked_for(trained):
    assert load(trained.models["two layers"])[0].module.n_latent == 5
    registry = scvi.model.SCVI.load_registry(str(trained.models["two layers"]))
    assert registry["model_name"] == "CYTOVI"
