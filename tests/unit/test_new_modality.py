"""Detection of counts of genes or intensities of markers in files without a configuration."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml
from cellferry.commands.new.__main__ import main
from scipy import sparse
from simulate import PANEL, simulate_cells

pytestmark = pytest.mark.filterwarnings("ignore")

MARKERS = ("EpCAM", "Vimentin", "GATA3", "FOXP3", "TBET", "CD4", "KI67")


def log_normalized(n_cells, *, n_genes=219, seed=0):
    cells = simulate_cells(n_cells, n_genes=n_genes, seed=seed)
    values = cells.X.toarray()
    cells.X = sparse.csr_matrix(np.log1p(1e4 * values / values.sum(axis=1, keepdims=True)))
    return cells


def stained(names, n_cells=300, *, share_of_zeros=0.0):
    """Transformed intensities, without time or scatter."""
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 1, (n_cells, len(names))) * (rng.random((n_cells, len(names))) >= share_of_zeros)
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(["T cell", "B cell", "NK"] * (n_cells // 3))},
        index=[f"event{number}" for number in range(n_cells)],
    )
    return ad.AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=list(names)))


def with_gaps(cells):
    """The same as a dense matrix, with two missing counts."""
    values = cells.X.toarray()
    values[3, 5] = values[4, 6] = np.nan
    cells.X = values
    return cells


@pytest.fixture
def new(tmp_path, monkeypatch, capsys):
    """Function that runs `make new` for two objects and returns exit status and output."""
    monkeypatch.chdir(tmp_path)

    def run(reference, query):
        reference.write_h5ad("atlas.h5ad")
        query.write_h5ad("blood.h5ad")
        status = main(["--name", "mine", "--reference", "atlas.h5ad", "--query", "blood.h5ad", "--force"])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def modality(folder):
    return yaml.safe_load((folder / "config" / "mine.yaml").read_text()).get("modality", "rna")


def test_few_log_normalized_genes_are_no_markers(new, tmp_path):
    status, said = new(log_normalized(300), log_normalized(100, seed=1))
    assert (status, modality(tmp_path)) == (1, "rna")
    for name in ("atlas.h5ad", "blood.h5ad"):
        assert f"{name}: X does not hold raw counts: " in said
    assert "they look log-normalized; raw counts are needed: export the file with them in X, raw.X or" in said
    assert "intensities" not in said


def test_few_counts_of_which_some_are_missing_are_no_markers(new, tmp_path):
    status, said = new(with_gaps(simulate_cells(300)), simulate_cells(100, seed=1))
    assert (status, modality(tmp_path)) == (1, "rna")
    assert "atlas.h5ad: X does not hold raw counts: nan in cell 'cell0_3', gene 'GENE5'" in said
    assert "values are missing (NaN), 2 of those checked, and the others are counts" in said
    assert "write 0 where nothing was counted" in said
    assert "intensities" not in said


@pytest.mark.parametrize("n_genes", [200, 700])
def test_only_the_file_without_counts_is_refused(new, tmp_path, n_genes):
    counts = simulate_cells(300, n_genes=n_genes)
    status, said = new(counts, log_normalized(100))
    assert (status, modality(tmp_path)) == (1, "rna")
    assert "blood.h5ad: X does not hold raw counts" in said
    assert "atlas.h5ad" not in said.partition("cannot be run yet")[2]


def test_two_files_without_counts_are_both_refused(new):
    status, said = new(log_normalized(300, n_genes=700), log_normalized(100))
    assert status == 1
    assert "atlas.h5ad: X does not hold raw counts" in said
    assert "blood.h5ad: X does not hold raw counts" in said


@pytest.mark.parametrize(
    ("names", "share_of_zeros"),
    [
        (PANEL, 0.0),
        (PANEL, 0.8),
        (MARKERS, 0.0),
        (("139La_EpCAM", "Vimentin", "GATA3"), 0.8),
        (("Time", *MARKERS), 0.8),
        ([f"CD{number}" for number in range(1, 251)], 0.0),
    ],
)
def test_panels_are_cytometry(new, tmp_path, names, share_of_zeros):
    status, said = new(stained(names, share_of_zeros=share_of_zeros), stained(names))
    assert (status, modality(tmp_path)) == (0, "cytometry"), said


@pytest.mark.parametrize(
    ("names", "share_of_zeros", "why"),
    [
        ([f"GENE{number}" for number in range(150)], 0.0, "a single staining has at most 100 markers"),
        ([f"GENE{number}" for number in range(60)], 0.8, "most values are zeros"),
    ],
)
def test_what_is_taken_for_genes_in_doubt_is_told(new, tmp_path, names, share_of_zeros, why):
    cells = stained(names, share_of_zeros=share_of_zeros)
    status, said = new(cells, cells)
    assert (status, modality(tmp_path)) == (1, "rna")
    assert f"features are treated as genes ({why}); for markers of cytometry, write" in said


def test_few_genes_beside_a_file_of_genes_are_genes(new, tmp_path):
    some = stained([f"GENE{number}" for number in range(20)])
    status, said = new(simulate_cells(300), some)
    assert (status, modality(tmp_path)) == (1, "rna")
    assert "blood.h5ad: X does not hold raw counts" in said
    assert "it shares names with" in said


def test_files_of_two_kinds_are_told_apart_with_a_word_why(new):
    status, said = new(simulate_cells(300), stained(PANEL))
    assert status == 1
    assert "blood.h5ad contains intensities of markers (most features have names of antibodies), and " in said
    assert "atlas.h5ad values of genes (it contains counts); give files of one kind" in said
