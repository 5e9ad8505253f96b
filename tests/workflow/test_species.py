"""Mouse cells and a packed human reference: refused before conversion, or mapped to orthologs."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.config.orthologs import FOLDER
from cellferry.references.archive import GENES, read_member
from cellferry.references.registry import PROJECT
from simulate import simulate_cells

TOY = PROJECT / "config/references/pbmc68k-demo-1.cellferry.zip"


@pytest.fixture
def query(run):
    """Mouse cells with 300 genes of the reference, and 20 that have no ortholog; genes by both names."""
    pairs = pd.read_csv(FOLDER / "human-mouse.tsv.gz", sep="\t", comment="#")
    mouse = pairs.dropna().set_index("human_symbol")["mouse_symbol"]
    model = [line.split("\t")[0] for line in read_member(TOY, GENES).decode().splitlines()[1:]]
    human = [gene for gene in model if gene in mouse.index][:300]
    cells = simulate_cells(60, n_genes=320)
    cells.var_names = [*mouse[human], *(f"Gm{number}-none" for number in range(20))]
    cells.write_h5ad(run.folder / "mice.h5ad")
    return human, model, mouse


def test_mice_and_a_packed_human_reference(run, query):
    human, model, mouse = query
    config = {
        "pretrained": str(TOY),
        "surgery": {"fit": False},
        "datasets": {"mice": {"role": "query", "path": "mice.h5ad", "chunks": 1}},
    }
    target = "results/common/mice.h5ad"
    refused = run(target, "--cores", "1", config=config)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    # One gene has the same name in both species.
    assert "datasets.mice: has 1 of the 765 genes of the model (0%), fewer than genes" in said
    assert "set genes: {orthologs: human-mouse}" in said
    assert not (run.folder / "results" / "chunks").exists()

    result = run(target, "--cores", "1", config=config | {"genes": {"orthologs": "human-mouse"}})
    assert result.returncode == 0, result.stdout + result.stderr
    found = ad.read_h5ad(run.folder / target)
    assert list(found.var_names) == model
    assert set(found.var_names[found.var["measured"]]) == set(human)
    assert set(found.var_names[found.var["has_ortholog"]]) == set(model) & set(mouse.index)
    counts = ad.read_h5ad(run.folder / "mice.h5ad")
    assert np.array_equal(found[:, human].X.toarray(), counts[:, list(mouse[human])].X.toarray())
