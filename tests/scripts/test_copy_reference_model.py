"""copy_reference_model: the reference's model as it is, with an encoder for the query's batches."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cellferry.mapping.encoder import Encoder
from cellferry.model.saved import saved_model
from copy_reference_model import copy_reference_model
from simulate import simulate_cells, write_cells


@pytest.fixture
def encoders(trained, tmp_path):
    """Encoders of the reference and of its copy for a query."""

    def copy(dataset, *, batches):
        cells = simulate_cells(100, n_genes=60, batches=batches, seed=3)
        write_cells(tmp_path / "query.h5ad", cells, dataset)
        given = [tmp_path / "query.h5ad", trained.folder / "model", tmp_path / "copy"]
        without_torch = "import sys; sys.modules |= dict.fromkeys(['torch', 'scvi', 'anndata'])"
        run = f"from copy_reference_model import *; copy_reference_model(*{list(map(str, given))})"
        folder = Path(copy_reference_model.__code__.co_filename).parent
        subprocess.run([sys.executable, "-c", f"{without_torch}; {run}"], cwd=folder, check=True)
        genes = [str(gene) for gene in saved_model(trained.folder / "model")["var_names"]]
        return [Encoder.load(folder, genes) for folder in (trained.folder / "model", tmp_path / "copy")]

    return copy


def test_new_batches_have_the_mean_weights_of_those_that_are_known(encoders, tmp_path, trained):
    before, after = encoders("patients", batches=("x", "y"))
    assert after.batches == [*before.batches, "patients/x", "patients/y"]
    for known, with_new in zip(before.by_batch[0], after.by_batch[0], strict=True):
        np.testing.assert_array_equal(with_new[:-2], known)
        np.testing.assert_allclose(with_new[-2:], [known.mean(axis=0)] * 2, atol=1e-6)
    assert (tmp_path / "copy/model.pt").read_bytes() == (trained.folder / "model/model.pt").read_bytes()


def test_known_batches_stay_as_they_are(encoders, tmp_path, trained):
    before, after = encoders("atlas", batches=("a",))
    assert after.batches == before.batches
    copied, model = (folder / "encoder.npz" for folder in (tmp_path / "copy", trained.folder / "model"))
    assert copied.read_bytes() == model.read_bytes()
