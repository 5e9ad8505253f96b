"""Spatial panels as the instruments write them: genes are read, controls are counted and left out."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.formats import blocks
from cellferry.formats.controls import control_kind
from cellferry.formats.features import CONTROLS
from reading import read_all, read_header
from scipy import sparse
from spatial_files import COSMX_CONTROLS, GENES, N_CELLS, TYPES, write_cosmx, write_merscope, write_xenium

N_GENES = len(GENES)


def control_counts(header, folder, max_bytes=10**6):
    return np.concatenate([block.controls for block in blocks(header, [], max_bytes, folder)])


@pytest.mark.parametrize("typed", [True, False])
def test_xenium_without_its_controls(tmp_path, typed):
    counts, _ = write_xenium(tmp_path, typed=typed)
    header = read_header(tmp_path / "cell_feature_matrix.h5")
    assert header.var.index.to_list() == GENES
    assert np.array_equal(read_all(header, tmp_path)[0], counts[:, :N_GENES])
    assert np.array_equal(control_counts(header, tmp_path, 300), counts[:, N_GENES:].sum(axis=1))
    kinds = header.details[CONTROLS].kinds
    assert kinds["negative control probe"] == 2
    assert sum(kinds.values()) == len(TYPES)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("max_bytes", [10**6, 500])
def test_cosmx_cells_have_two_keys_and_cell_0_is_none(tmp_path, ending, max_bytes):
    counts, names, _ = write_cosmx(tmp_path, ending=ending)
    header = read_header(tmp_path / f"Slide1_exprMat_file{ending}")
    assert header.var.index.to_list() == GENES
    found, found_names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(found, counts[:, :N_GENES])
    assert found_names.tolist() == names
    assert np.array_equal(control_counts(header, tmp_path), counts[:, N_GENES:].sum(axis=1))
    assert header.remarks == ["3 line(s) of cell_ID 0, which CosMx counts outside of cells, are left out"]
    assert header.details[CONTROLS].kinds == {
        "negative control probe": 2,
        "system control": 1,
        "negative control codeword": 1,
    }


def test_cosmx_line_that_is_broken_is_named(tmp_path):
    write_cosmx(tmp_path)
    path = tmp_path / "Slide1_exprMat_file.csv"
    lines = path.read_text().splitlines()
    lines[5] = lines[5].rpartition(",")[0] + ",x"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"line 6: 'x' in row '4_1', column 'FalseCode7' is not a number"):
        read_header(path)


def test_merscope_table_needs_no_orientation(tmp_path):
    counts, names, _ = write_merscope(tmp_path)
    header = read_header(tmp_path / "cell_by_gene.csv")
    found, found_names, _, _ = read_all(header, tmp_path)
    assert np.array_equal(found, counts[:, :N_GENES])
    assert found_names.tolist() == names
    assert header.details[CONTROLS].kinds == {"blank codeword": 2}


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_controls_in_objects_without_types(tmp_path, ending):
    features = [*COSMX_CONTROLS, *GENES]
    counts = np.random.default_rng(0).poisson(1, (N_CELLS, len(features)))
    adata = ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), var=pd.DataFrame(index=features))
    getattr(adata, f"write_{ending}")(tmp_path / f"a.{ending}")
    header = read_header(tmp_path / f"a.{ending}")
    assert np.array_equal(read_all(header, tmp_path)[0], counts[:, 4:])
    assert np.array_equal(control_counts(header, tmp_path), counts[:, :4].sum(axis=1))


def test_panel_of_controls_alone(tmp_path):
    counts = sparse.csr_matrix(np.ones((3, 4), dtype=np.float32))
    ad.AnnData(counts, var=pd.DataFrame(index=COSMX_CONTROLS)).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"all of its 4 features are controls \(negative control probe: 2, "):
        read_header(tmp_path / "a.h5ad")
    write_xenium(tmp_path, genes=[])
    with pytest.raises(
        InputError, match="holds no 'Gene Expression' features, only 'Negative Control Probe'"
    ):
        read_header(tmp_path / "cell_feature_matrix.h5")


@pytest.mark.parametrize(
    "gene", ["NEGR1", "BLNK", "Negr1", "ANTIS1", "BLANK", "Negative", "FALSE1", "SYS1", "GAD1-AS1", "NELFB"]
)
def test_genes_are_no_controls(gene):
    assert control_kind(gene) is None
