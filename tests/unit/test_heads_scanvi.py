"""scANVI's classifier as plain arrays: torch's probabilities, without torch."""

import numpy as np
import pytest
import scvi
import torch
from cellferry.config.settings import ModelSettings
from cellferry.heads.scanvi import ScanviHead
from cellferry.model.plain_arrays import scanvi_classifier
from cellferry.model.scvi_models import new_model, scanvi_from_scvi, skeleton
from simulate import settings_like

LABELS = ["B", "NK", "γδ T/NKT, CD8+"]


def tiny_model(n_layers):
    """An untrained model whose classifier has weights that are not the ones it begins with."""
    scvi.settings.seed = 0
    cells = skeleton([f"g{n}" for n in range(20)], ["a", "b"], [*LABELS, "unknown"])
    settings = settings_like(ModelSettings, n_latent=4, n_layers=n_layers, n_hidden=8)
    model = scanvi_from_scvi(new_model(cells, settings))
    with torch.no_grad():
        for weights in model.module.classifier.parameters():
            weights.normal_(0, 1)
    model.module.eval()
    return model


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["linear", "one layer", "two layers"])
def both(request):
    """A model and its classifier's arrays."""
    model = tiny_model(max(1, request.param))
    if request.param == 0:  # scvi-tools can make it a linear one
        cells = model.adata
        scvi.model.SCANVI.setup_anndata(cells, "label", "unknown", batch_key="batch")
        model = scvi.model.SCANVI(cells, n_hidden=8, n_latent=4, linear_classifier=True)
        model.module.eval()
    return model, scanvi_classifier(model)


def test_it_says_what_torch_says(both):
    model, head = both
    latents = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    with torch.inference_mode():
        logits = model.module.classifier(torch.from_numpy(latents))
        expected = logits.softmax(dim=1) if model.module.classifier.logits else logits
    known = head.labels.tolist()
    assert sorted(known) == LABELS
    np.testing.assert_allclose(head.probabilities(latents), expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        head.among(LABELS).probabilities(latents),
        expected.numpy()[:, [known.index(label) for label in LABELS]],
        atol=1e-5,
    )


def test_a_label_that_the_model_lacks_gets_probability_0(both):
    head = both[1]
    latents = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    found = head.among(["B", "Mono", "NK"]).probabilities(latents)
    assert (found[:, 1] == 0).all()
    known = head.among(["B", "NK"]).probabilities(latents)
    np.testing.assert_allclose(found[:, [0, 2]], known, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_stored_and_read_it_says_the_same(both, tmp_path):
    head = both[1]
    latents = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    head.save(tmp_path)
    assert np.array_equal(ScanviHead.load(tmp_path).probabilities(latents), head.probabilities(latents))
    assert head.probabilities(latents[:0]).shape == (0, 3)


def test_a_classifier_of_other_layers_is_no_silent_error():
    model = tiny_model(1)
    model.module.classifier = scvi.module.Classifier(4, n_hidden=8, n_labels=3, use_batch_norm=True)
    with pytest.raises(ValueError, match="layer of another kind"):
        scanvi_classifier(model)
