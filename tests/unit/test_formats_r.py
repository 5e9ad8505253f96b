"""R objects that tests/r_writer.py writes, and real ones; test_formats_r_with_r.py compares with R itself."""

import bz2
import gzip
import itertools
import json
import lzma
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import r_writer as r
from cellferry import formats
from cellferry.errors import InputError
from cellferry.formats.r import walk
from reading import read_all, read_header
from scipy import sparse

N_CELLS, N_GENES = 50, 20
GENES = [f"Gene{i}" for i in range(N_GENES)]
CELLS = [f"Zelle{i}" for i in range(N_CELLS)]
OPENERS = {"plain": open, "gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}


def make_counts():
    """Cells × genes."""
    return sparse.csr_matrix(np.random.default_rng(0).poisson(0.6, size=(N_CELLS, N_GENES)).astype(float))


def make_frame():
    return r.frame(
        {
            "label": r.factor(np.arange(N_CELLS) % 3 + 1, ["B", "β", "NA"]),
            "text": r.strings([None, "x"] * 25),
            "number": r.numbers(np.where(np.arange(N_CELLS) % 5, 0.5, np.nan)),
            "whole": r.numbers(np.arange(N_CELLS)),
            "flag": r.numbers(np.arange(N_CELLS) % 2 == 0),
        },
        CELLS,
    )


def make_seurat(**slots):
    counts = r.dgc(make_counts(), GENES, CELLS)
    return r.seurat({"RNA": r.assay(**({"counts": counts, "data": counts} | slots))}, make_frame(), "RNA")


@pytest.mark.parametrize("packed", OPENERS)
@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("named", [False, True])
def test_seurat(tmp_path, packed, order, version, named):
    path = tmp_path / "a.rds"
    if named:
        objects = {"table": make_frame(), "seurat": make_seurat()}
        r.write_rda(path, objects, OPENERS[packed], order, version)
    else:
        r.write_rds(path, make_seurat(), OPENERS[packed], order=order, version=version)
    header = read_header(path)
    assert (header.format, header.storage, header.counts) == ("r", "csr", "counts")
    assert (header.n_cells, header.n_genes, header.nonzeros) == (N_CELLS, N_GENES, make_counts().nnz)
    counts, names, obs, sizes = read_all(header, tmp_path / "scratch", 1000, header.obs_columns)
    assert np.array_equal(counts, make_counts().toarray())
    assert list(names) == CELLS
    assert list(header.var.index) == GENES
    assert max(sizes) <= 1000
    assert list(obs["label"][:3]) == ["B", "β", "NA"]
    assert list(obs["text"][:2]) == [None, "x"]
    assert obs["whole"].dtype == np.int32
    assert np.isnan(obs["number"][0])
    assert list(obs["flag"][:2]) == ["True", "False"]
    assert header.remarks[0] == ("the object seurat is read, and not table" if named else header.remarks[-1])


def test_several_objects(tmp_path):
    path = tmp_path / "a.rda"
    other = r.dgc(make_counts()[::-1], GENES, CELLS)
    r.write_rda(path, {"one": make_seurat(), "two": other})
    with pytest.raises(
        InputError, match=r"2 objects with counts: one, an object of class Seurat.*OBJECT/ASSAY"
    ):
        read_header(path)
    counts, *_ = read_all(read_header(path, assay="two"), tmp_path)
    assert np.array_equal(counts, make_counts().toarray()[::-1])
    assert read_header(path, assay="one/RNA").remarks[0] == "the object one is read, and not two"
    with pytest.raises(
        InputError, match=r"assay is 'ADT', which the Seurat object does not have; it has: RNA"
    ):
        read_header(path, assay="one/ADT")


def simple_list(items):
    return r.s4("SimpleList", "S4Vectors", listData=r.a_list(items), elementType=r.strings(["ANY"]))


def make_other():
    return r.dgc(make_counts()[::-1], GENES, CELLS)


LISTS = {
    "a named list": (lambda: r.a_list({"one": make_seurat(), "two": make_other()}), "one", "two"),
    "a list without names": (lambda: r.a_list([make_seurat(), make_other()]), "1", "2"),
    "a list with a name that repeats": (
        lambda: r.a_list([make_seurat(), make_other()], names=r.strings(["a", "a"])),
        "1",
        "2",
    ),
    "a list with a missing name": (
        lambda: r.a_list([make_seurat(), make_other()], names=r.strings(["one", ""])),
        "one",
        "2",
    ),
    "names with slashes": (lambda: r.a_list({"a/b": make_seurat(), "a": make_other()}), "a/b", "a"),
    "lists in a list": (
        lambda: r.a_list({"a": r.a_list([make_seurat(), r.null]), "b": r.a_list({"x": make_other()})}),
        "a/1",
        "b/x",
    ),
    "Bioconductor's list": (lambda: simple_list({"one": make_seurat(), "two": make_other()}), "one", "two"),
}


@pytest.mark.parametrize("what", LISTS)
def test_lists(tmp_path, what):
    make, one, two = LISTS[what]
    path = tmp_path / "a.rds"
    r.write_rds(path, make(), gzip.open)
    with pytest.raises(
        InputError,
        match=rf"2 objects with counts: {one}, an object of class Seurat.*; {two}, an object of class dgC.* "
        r"set datasets\.blood\.assay to the name of one of them \(a number in quotes\), or to OBJECT/ASSAY",
    ):
        read_header(path)
    header = read_header(path, assay=two)
    counts, *_ = read_all(header, tmp_path)
    assert np.array_equal(counts, make_counts().toarray()[::-1])
    assert header.remarks[0].startswith(f"the object {two} is read, and not ")
    for assay in (one, f"{one}/RNA"):
        counts, _, obs, _ = read_all(read_header(path, assay=assay), tmp_path, columns=["label"])
        assert np.array_equal(counts, make_counts().toarray())
        assert obs["label"][1] == "β"
    with pytest.raises(InputError, match=r"assay is 'ADT', which the Seurat object does not have"):
        read_header(path, assay=f"{one}/ADT")
    with pytest.raises(InputError, match=r"assay is 'none', but it holds 2 objects with counts: "):
        read_header(path, assay="none")


def test_the_only_matrix_of_a_list_is_read(tmp_path):
    path = tmp_path / "a.rds"
    r.write_rds(path, r.a_list({"meta": make_frame(), "counts": make_other(), "note": r.strings(["x"])}))
    header = read_header(path)
    assert header.remarks == ["the object counts is read, and not meta, note"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts().toarray()[::-1])


def test_what_stands_in_no_list_is_read_first(tmp_path):
    path = tmp_path / "a.rda"
    r.write_rda(path, {"one": make_seurat(), "all": r.a_list({"two": make_other(), "three": make_other()})})
    header = read_header(path)
    assert header.remarks[0] == "the object one is read, and not all"
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts().toarray())
    header = read_header(path, assay="all/two")
    assert header.remarks[0] == "the object all/two is read, and not one, all/three"
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts().toarray()[::-1])


def test_results_are_no_lists_of_counts(tmp_path):
    path = tmp_path / "a.rds"
    fit = {"x": make_other(), "rotation": make_other()}
    r.write_rds(path, r.a_list(fit, **{"class": r.strings(["prcomp"])}))
    with pytest.raises(InputError, match="holds an object of class prcomp, and no Seurat object"):
        read_header(path)


@pytest.mark.parametrize("orientation", ["auto", "genes", "cells"])
def test_orientation_of_a_matrix(tmp_path, orientation):
    matrix = make_counts().toarray().astype(int)
    barcodes = [f"{'ACGT' * 4}-{i}" for i in range(N_CELLS)]
    cells_are_rows = orientation != "genes"
    values = matrix.T if cells_are_rows else matrix
    sides = (barcodes, GENES) if cells_are_rows else (GENES, CELLS)
    for name, value in {
        "dense": r.dense,
        "sparse": lambda m, *names: r.dgc(sparse.csr_matrix(m), *names),
    }.items():
        path = tmp_path / f"{name}.rds"
        r.write_rds(path, value(values, *sides), gzip.open)
        header = read_header(path, orientation=orientation)
        counts, names, _, _ = read_all(header, tmp_path / "scratch", 2000)
        assert np.array_equal(counts, matrix)
        assert list(names) == sides[0 if cells_are_rows else 1]


def test_broken_matrices(tmp_path):
    path = tmp_path / "a.rds"
    counts = make_counts()
    counts.indices[3] = N_GENES
    r.write_rds(path, r.dgc(counts, GENES, CELLS))
    with pytest.raises(InputError, match="points outside the matrix; the file is damaged"):
        read_all(read_header(path), tmp_path)
    counts = make_counts()
    counts.indptr[5] = 10**6
    r.write_rds(path, r.dgc(counts, GENES, CELLS))
    with pytest.raises(InputError, match="the index arrays of matrix do not fit its"):
        read_all(read_header(path), tmp_path)
    r.write_rds(path, r.dgc(make_counts(), GENES[:-1], CELLS))
    with pytest.raises(InputError, match="has 20 rows or columns, and 19 names are given"):
        read_header(path)
    r.write_rds(path, r.dgc(make_counts(), None, CELLS))
    with pytest.raises(InputError, match="nothing names the 20 genes"):
        read_header(path)
    few = r.numbers(np.ones(7), dim=r.numbers(np.array([2, 4])))
    r.write_rds(path, few)
    with pytest.raises(
        InputError, match=r"is 2 × 4, and the lengths of its arrays do not fit that \(data 7\)"
    ):
        read_header(path)


def test_cells_without_names_are_numbered(tmp_path):
    r.write_rds(tmp_path / "a.rds", r.dgc(make_counts(), GENES, None))
    _, names, _, _ = read_all(read_header(tmp_path / "a.rds"), tmp_path)
    assert list(names) == [str(i + 1) for i in range(N_CELLS)]


def test_assays_to_choose_from(tmp_path):
    path = tmp_path / "a.rds"
    counts = r.assay(counts=r.dgc(make_counts(), GENES, CELLS), data=r.dgc(make_counts(), GENES, CELLS))
    r.write_rds(path, r.seurat({"ADT": counts, "Spatial": counts}, make_frame(), "HTO"))
    with pytest.raises(
        InputError, match=r"several assays .* hold counts, ADT, Spatial, and none is called RNA"
    ):
        read_header(path)
    r.write_rds(path, r.seurat({"ADT": counts, "Spatial": counts}, make_frame(), "Spatial"))
    assert read_header(path).remarks[0] == "the assay Spatial is read, and not ADT (datasets.blood.assay)"
    r.write_rds(path, r.seurat({}, make_frame(), "RNA"))
    with pytest.raises(InputError, match="has no assays; save it again with its counts"):
        read_header(path)
    empty = r.dgc(sparse.csr_matrix((0, 0)), None, None)
    logs = make_counts().log1p()
    r.write_rds(path, make_seurat(counts=empty, data=r.dgc(logs, GENES, CELLS)))
    with pytest.raises(
        InputError, match=r"no raw counts; it has assay RNA \(counts is empty; data: 20 × 50, does not"
    ):
        read_header(path)
    r.write_rds(path, make_seurat(counts=r.dgc(logs, GENES, CELLS), data=r.dgc(logs, GENES, CELLS)))
    with pytest.raises(InputError, match="counts of assay RNA holds the same values as data"):
        read_header(path)
    assert read_header(path, counts="counts").counts == "counts"
    r.write_rds(path, make_seurat(counts=r.dgc(logs * 2, GENES, CELLS), data=r.dgc(logs, GENES, CELLS)))
    assert read_header(path).places == {"counts": False, "data": False}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (r.a_list({"a": r.null, "b": r.null}), "holds a list of a, b, and no Seurat object"),
        (make_frame(), r"holds a data\.frame of label, text, .*can be written as csv"),
        (
            r.a_list({"coefficients": r.null}, **{"class": r.strings(["glm", "lm"])}),
            "of class glm / lm, and no",
        ),
        (r.s4("Giotto", "Giotto", expression=r.null), "an object of class Giotto of package Giotto, and no"),
        (r.null, "holds NULL, and no"),
        (r.strings(["a"]), "holds a character, and no"),
        (
            make_seurat(counts=r.s4("dsCMatrix", "Matrix", uplo=r.null)),
            "counts is an object of class dsCMatrix of",
        ),
    ],
)
def test_something_else(tmp_path, value, message):
    r.write_rds(tmp_path / "a.rds", value, gzip.open)
    with pytest.raises(InputError, match=message):
        read_header(tmp_path / "a.rds")


@pytest.mark.parametrize("packed", OPENERS)
def test_truncated(tmp_path, packed):
    path = tmp_path / "a.rds"
    r.write_rds(path, make_seurat(), OPENERS[packed])
    whole = path.read_bytes()
    for length in [len(whole) * part // 97 for part in range(1, 97)]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.rds: .*copy or download it again"):
            read_header(path, "r")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_damaged(tmp_path):
    """Whatever is in a file, it is read or refused: nothing else is raised, and nothing hangs."""
    path = tmp_path / "a.rds"
    r.write_rds(path, make_seurat())
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for position in random.integers(14, len(whole), 5):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        try:
            header = read_header(path, "r")
            list(formats.blocks(header, header.obs_columns, 10**6, tmp_path))
        except InputError:
            refused += 1
    assert refused > 50
    packed = bytearray(gzip.compress(whole))
    packed[len(packed) // 2] ^= 255
    path.write_bytes(packed)
    with pytest.raises(InputError, match="copy or download it again"):
        read_header(path)


@pytest.mark.parametrize("start", [b"RDA3\nA\n3\n", b"A\n3\n262658\n197888\n"])
def test_saved_as_text(tmp_path, start):
    (tmp_path / "a.rda").write_bytes(start)
    with pytest.raises(InputError, match=r"saved by R as text.*without ascii = TRUE"):
        read_header(tmp_path / "a.rda")


def test_not_of_r(tmp_path):
    (tmp_path / "a.rds").write_bytes(b"QS\0\0 something else")
    with pytest.raises(InputError, match="its format was not recognised"):
        read_header(tmp_path / "a.rds")
    with pytest.raises(InputError, match="is not a file of R's saveRDS or save"):
        read_header(tmp_path / "a.rds", "r")


def test_numbers_in_another_file_are_no_matrix(tmp_path):
    def mapped(writer):
        writer.integers(238)  # ALTREP: class, state, attributes
        writer.integers(r.PAIRLIST)
        writer.symbol("mmap_real")
        writer.integers(r.NULL)
        r.a_list([r.strings(["/numbers"])])(writer)
        writer.attributes({"dim": r.numbers(np.array([1, 2]))})

    r.write_rds(tmp_path / "a.rds", mapped)
    with pytest.raises(InputError, match=r"vector in another file \(mmap_real\)"):
        read_header(tmp_path / "a.rds")


def test_bpcells_folder_that_is_missing(tmp_path):
    side = {"dim": r.numbers(np.array([2, 3])), "transpose": r.numbers(np.array([False]))}
    folder = r.s4("MatrixDir", "BPCells", dir=r.strings(["/data/run1/counts"]), **side)
    r.write_rds(tmp_path / "a.rds", folder)
    with pytest.raises(
        InputError, match=r"not in it but in /data/run1/counts, which is not there; put 'counts'"
    ):
        read_header(tmp_path / "a.rds")
    r.write_rds(tmp_path / "a.rds", r.s4("TransformLog1p", "BPCells", matrix=folder, **side))
    with pytest.raises(InputError, match=r"only described \(TransformLog1p of BPCells\)"):
        read_header(tmp_path / "a.rds")


def write_large(path, n_cells, per_cell=300, n_genes=2000):
    """A Seurat object whose counts and data have `per_cell` values a cell, and which holds scale.data."""
    pointers = np.arange(n_cells + 1) * per_cell
    genes = [f"Gene{i}" for i in range(n_genes)]
    n = n_cells * per_cell

    def names():
        return r.strings((f"ACGTACGTACGTACGT-{i}" for i in range(n_cells)), n_cells)

    def some(kind):
        random = np.random.default_rng(0)
        for _ in range(n_cells // 1000):
            if kind == "i":
                yield np.sort(
                    random.random((1000, n_genes), dtype=np.float32).argsort(1)[:, :per_cell], 1
                ).ravel()
            else:
                yield random.integers(1, 9, per_cell * 1000).astype(float) * (1 if kind == "counts" else 0.3)

    def matrix(kind):
        return r.s4(
            "dgCMatrix",
            "Matrix",
            i=r.numbers(some("i"), n),
            p=r.numbers(pointers),
            Dim=r.numbers(np.array([n_genes, n_cells])),
            Dimnames=r.a_list([r.strings(genes), names()]),
            x=r.numbers(some(kind), n),
        )

    scaled = r.numbers(
        (np.zeros(100 * 1000) for _ in range(n_cells // 1000)),
        100 * n_cells,
        dim=r.numbers(np.array([100, n_cells])),
    )
    assay = r.assay(counts=matrix("counts"), data=matrix("data"), **{"scale.data": scaled})
    labels = r.factor(np.arange(n_cells) % 7 + 1, [f"type{i}" for i in range(7)])
    names_of_cells = (f"ACGTACGTACGTACGT-{i}" for i in range(n_cells))
    table = r.frame({"label": labels}, names_of_cells, n_cells)
    r.write_rds(path, r.seurat({"RNA": assay}, table, "RNA"), partial(gzip.open, compresslevel=1))


MEASURE = """
import json, resource, sys, tempfile
from pathlib import Path
from cellferry import formats
header = formats.header(sys.argv[1], formats.Options(dataset="blood"))
n = sum(len(cells.names) for cells in formats.cells(header, ["label"]))
total = 0
with tempfile.TemporaryDirectory() as scratch:
    for block in formats.blocks(header, ["label"], 4 * 2**20, Path(scratch)):
        total += float(block.counts.sum())
    left = list(Path(scratch).iterdir())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"n": n, "total": total, "peak": peak, "left": len(left)}))
"""


def test_memory_does_not_grow_with_the_object(tmp_path):
    found = {}
    for n_cells in (2_000, 16_000):
        write_large(tmp_path / "a.rds", n_cells)
        environment = {"PYTHONPATH": str(Path(formats.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.rds")]
        run = subprocess.run(command, capture_output=True, check=True, env=environment, text=True)
        found[n_cells] = json.loads(run.stdout)
    few, many = found.values()
    assert (few["n"], many["n"]) == (2_000, 16_000)
    assert many["left"] == 0
    # 115 MB of matrices more: names and the columns' numbers may be held, no more.
    assert many["peak"] - few["peak"] < 15


def test_reading_ends_where_it_is_given_up(tmp_path):
    write_large(tmp_path / "a.rds", 2_000)
    header = read_header(tmp_path / "a.rds")
    scratch = tmp_path / "scratch"
    assert len(list(itertools.islice(formats.blocks(header, [], 10**5, scratch), 2))) == 2
    assert not list(scratch.glob("*"))


def test_long_vectors_have_a_length_of_their_own(tmp_path):
    """A vector of 2³¹ values or more: what it promises is not there, which is said and nothing else."""
    head = b"X\n" + struct.pack(">6i", 2, 0x040202, 0x020300, 14, -1, 1) + struct.pack(">i", 5)
    (tmp_path / "a.rds").write_bytes(head + bytes(1000))
    with pytest.raises(InputError, match="it ends in the middle of an object"):
        read_header(tmp_path / "a.rds")


SCUBA = "formats/citeseq_AML_SCUBA"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["AML_Seurat.rda", "AML_BPCells.rda", "se.rds"])
@pytest.mark.parametrize("kept", [walk.KEPT_BYTES, 0])
def test_scuba_cells_are_the_same_in_every_form(test_data, tmp_path, monkeypatch, name, kept):
    monkeypatch.setattr(walk, "KEPT_BYTES", kept)
    adata = ad.read_h5ad(test_data / SCUBA / "AML_h5ad.h5ad")
    header = read_header(test_data / SCUBA / name)
    counts, names, obs, _ = read_all(header, tmp_path, 20_000, ["nCount_RNA", "Batch"])
    assert np.array_equal(counts, adata[names, header.var.index].layers["counts"].toarray())
    assert list(obs["Batch"]) == list(adata[names].obs["Batch"])
    assert np.array_equal(obs["nCount_RNA"], adata[names].obs["nCount_RNA"])
    assert counts.shape == adata.shape
    antibodies = read_header(test_data / SCUBA / name, assay="AB")
    assert antibodies.n_genes == 197
    assert list(read_all(antibodies, tmp_path, 20_000)[1]) == list(names)


REAL = [
    ("cellmix/cepo_cellbench.rda", (895, 894), "counts", True, 17),
    ("formats/seurat_sce/sce_pancreas_noninteger_counts.rda", (528, 1403), "counts", False, 2),
    ("formats/seurat_sce/sce_segerstolpe_200x200.rda", (200, 200), "counts", True, 33),
    ("formats/seurat_sce/seurat_v2_s_small.rda", (80, 230), "raw.data", True, 6),
    ("levine32_cytof/Levine_32dim_sce.rds", (1500, 39), "counts", False, 3),
    ("levine32_cytof/Levine_32dim_seurat_v5_Assay5.rds", (1500, 39), "counts", False, 7),
    ("pbmc/muscat_example_sce.rda", (1556, 1267), "counts", True, 3),
    ("pbmc/symphony_pbmcs_exprs_small.rda", (1200, 1767), "matrix", False, 0),
]


@pytest.mark.parametrize(("path", "shape", "place", "looks_right", "n_columns"), REAL)
def test_real_files(test_data, tmp_path, path, shape, place, looks_right, n_columns):
    header = read_header(test_data / path)
    assert (header.n_cells, header.n_genes) == shape
    assert (header.counts, header.places[place], len(header.obs_columns)) == (place, looks_right, n_columns)
    counts, *_ = read_all(header, tmp_path, 50_000, header.obs_columns)
    assert counts.any(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "formats/seurat_sce/seurat_v3.1_integrated_only_nocounts.rda",
            r"it has assay integrated \(counts is empty;",
        ),
        (
            "formats/seurat_sce/seurat_v4_empty_counts_zilionis.rda",
            r"it has assay RNA \(counts is empty; data: 20388 × 300,",
        ),
        ("pbmc/symphony_pbmcs_meta_small.rda", r"holds pbmcs_meta_small, a data\.frame of cell_id, donor"),
    ],
)
def test_real_files_without_counts(test_data, path, message):
    with pytest.raises(InputError, match=message):
        read_header(test_data / path)
