"""Folders of mtx files as programs other than Cell Ranger write them."""

import gzip

import numpy as np
import pytest
import scipy.io
from cellferry.config.samples import all_files
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse
from tenx_files import pack, write_mtx

N_CELLS, N_GENES = 40, 30
CELLS = [f"{'ACGT' * 4}{i:02d}" for i in range(N_CELLS)]
IDS = [f"ENSG{i:011d}.{i % 9}" for i in range(N_GENES)]
NAMES = [f"GENE{i}" for i in range(N_GENES - 1)] + [""]
READ_NAMES = [*NAMES[:-1], IDS[-1]]


def make_counts(n_cells=N_CELLS):
    """Cells × genes."""
    return np.random.default_rng(0).poisson(0.4, size=(n_cells, N_GENES)).astype(np.int32)


def write(path, content):
    """Write lines or a matrix, gzipped if the name ends with .gz."""
    if isinstance(content, list):
        data = "".join(f"{line}\n" for line in content).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return
    plain = path.with_name(path.name.removesuffix(".gz"))
    scipy.io.mmwrite(plain, sparse.coo_matrix(content), field="integer", symmetry="general")
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()


def kb(counts, cells):
    return {
        "cells_x_genes.mtx": counts,
        "cells_x_genes.barcodes.txt": cells,
        "cells_x_genes.genes.txt": IDS,
        "cells_x_genes.genes.names.txt": NAMES,
    }


def bustools(counts, cells):
    return {"genes.mtx": counts, "genes.barcodes.txt": cells, "genes.genes.txt": IDS}


def parse(counts, cells):
    genes = [f'{i},{IDS[i]},"{NAMES[i]}",hg38' for i in range(N_GENES)]
    metadata = [f"{cell},S{i % 2},hg38,{i}" for i, cell in enumerate(cells)]
    return {
        "count_matrix.mtx": counts,
        "all_genes.csv": [",gene_id,gene_name,genome", *genes],
        "cell_metadata.csv": ["bc_wells,sample,species,gene_count", *metadata],
    }


def old_parse(counts, cells):
    genes = [f"{IDS[i]},{NAMES[i]},hg38" for i in range(N_GENES)]
    metadata = [f"{i},S1,{cell}" for i, cell in enumerate(cells)]
    return {
        "GSM1_DGE.mtx": counts,
        "GSM1_all_genes.csv": ["gene_id,gene_name,genome", *genes],
        "GSM1_cell_metadata.csv": ["cell_index,sample,bc_wells", *metadata],
    }


def alevin(counts, cells):
    return {"quants_mat.mtx": counts, "quants_mat_rows.txt": cells, "quants_mat_cols.txt": IDS}


def atlas(counts, cells):
    return {
        "E-1.counts.mtx": counts.T,
        "E-1.counts.mtx_cols": cells,
        "E-1.counts.mtx_rows": [f"{gene}\t{gene}" for gene in IDS],
    }


PROGRAMS = {
    "kb": (kb, READ_NAMES),
    "bustools": (bustools, IDS),
    "parse": (parse, READ_NAMES),
    "old_parse": (old_parse, READ_NAMES),
    "alevin": (alevin, IDS),
    "atlas": (atlas, IDS),
}


def write_folder(folder, files, ending=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write(folder / f"{name}{ending}", content)
    return folder


@pytest.mark.parametrize("n_cells", [N_CELLS, N_GENES])  # a square matrix can have either orientation
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_folder(tmp_path, program, ending, n_cells):
    make, genes = PROGRAMS[program]
    folder = write_folder(tmp_path / "a", make(make_counts(n_cells), CELLS[:n_cells]), ending)
    matrix = next(file for file in folder.iterdir() if file.name.endswith(f".mtx{ending}"))
    for path in (folder, matrix, pack(folder, tmp_path / "a.zip")):
        header = read_header(path)
        counts, names, _, _ = read_all(header, tmp_path / "scratch")
        assert np.array_equal(counts, make_counts(n_cells))
        assert list(names) == CELLS[:n_cells]
        assert list(header.var.index) == genes
        if genes != IDS:
            assert list(header.var["gene_ids"]) == IDS
    assert {file.name for file in all_files(str(matrix))} == {file.name for file in folder.iterdir()}


def test_the_sum_of_kbs_matrices_is_read(tmp_path):
    files = kb(make_counts(), CELLS)
    total = files.pop("cells_x_genes.mtx")
    for name in ("mature", "nascent", "ambiguous"):
        files[f"cells_x_genes.{name}.mtx"] = total // 2
    write_folder(tmp_path / "counts_unfiltered", files)
    with pytest.raises(InputError, match=r"several matrices, cells_x_genes\.ambiguous\.mtx, .*name one"):
        read_header(tmp_path / "counts_unfiltered")
    write(tmp_path / "counts_unfiltered" / "cells_x_genes.total.mtx", total)
    header = read_header(tmp_path / "counts_unfiltered")
    assert np.array_equal(read_all(header, tmp_path)[0], total)
    assert header.remarks[0].startswith(
        "cells_x_genes.total.mtx is read, but not cells_x_genes.ambiguous.mtx"
    )
    mature = read_header(tmp_path / "counts_unfiltered" / "cells_x_genes.mature.mtx")
    assert np.array_equal(read_all(mature, tmp_path)[0], total // 2)
    with pytest.raises(InputError, match=r"name one of the folders .*counts_unfiltered"):
        read_header(tmp_path)


@pytest.mark.parametrize("listed", [IDS, [f"{gene}{mark}" for mark in ("", "-U", "-A") for gene in IDS]])
def test_parts_of_genes_are_not_taken_for_genes(tmp_path, listed):
    """alevin-fry's USA mode; older versions list each gene once."""
    files = alevin(np.hstack([make_counts()] * 3), CELLS) | {"quants_mat_cols.txt": listed}
    write_folder(tmp_path / "run" / "alevin", files)
    with pytest.raises(InputError, match=r"in USA mode: .*pyroe convert .*h5ad \S+/run counts\.h5ad"):
        read_header(tmp_path / "run" / "alevin")


def test_counts_of_transcripts(tmp_path):
    files = {"cells_x_tcc.mtx": make_counts(), "cells_x_tcc.barcodes.txt": CELLS, "cells_x_tcc.ec.txt": IDS}
    with pytest.raises(InputError, match=r"counts equivalence classes of transcripts.*without --tcc"):
        read_header(write_folder(tmp_path / "a", files))


@pytest.mark.parametrize(
    ("program", "name", "missing"),
    [
        ("kb", "cells_x_genes.barcodes.txt", "cells_x_genes.barcodes.txt"),
        ("kb", "cells_x_genes.genes.txt", "cells_x_genes.genes.txt"),
        ("parse", "all_genes.csv", "all_genes.csv or genes.csv"),
        ("parse", "cell_metadata.csv", "cell_metadata.csv"),
        ("alevin", "quants_mat_rows.txt", "quants_mat_rows.txt"),
    ],
)
def test_a_list_that_is_missing_is_named(tmp_path, program, name, missing):
    folder = write_folder(tmp_path / "a", PROGRAMS[program][0](make_counts(), CELLS))
    (folder / name).unlink()
    with pytest.raises(
        InputError, match=f"{missing}.* is missing beside it; copy the list there, gzipped or plain"
    ):
        read_header(folder)


def test_names_that_are_not_of_the_genes(tmp_path):
    files = kb(make_counts(), CELLS) | {"cells_x_genes.genes.names.txt": NAMES[:-3]}
    with pytest.raises(InputError, match=r"names\.txt: has 27 lines, but cells_x_genes\.genes\.txt names 30"):
        read_header(write_folder(tmp_path / "a", files))


def test_a_table_of_genes_without_ids(tmp_path):
    files = parse(make_counts(), CELLS) | {"all_genes.csv": ["a,b", *(f"{name},1" for name in NAMES)]}
    with pytest.raises(InputError, match=r"all_genes\.csv: has no column gene_id or gene_name; .* a, b"):
        read_header(write_folder(tmp_path / "a", files))


def test_lists_of_10x_stay_first(tmp_path):
    expected = write_mtx(tmp_path, ending="")
    write_folder(tmp_path, {"matrix.barcodes.txt": ["x"], "matrix.genes.txt": ["y"]})
    assert np.array_equal(read_all(read_header(tmp_path), tmp_path / "scratch")[0], expected)
