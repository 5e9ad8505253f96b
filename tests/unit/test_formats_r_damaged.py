"""R files that are damaged, have other content or refer to other files: refused with a reason."""

import gzip

import numpy as np
import pytest
import r_writer as r
from cellferry import formats
from cellferry.errors import InputError
from r_cells import CELLS, GENES, N_GENES, OPENERS, make_counts, make_frame, make_seurat
from reading import read_all, read_header


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
    with pytest.raises(InputError, match="has 20 rows or columns, but 19 names for them"):
        read_header(path)
    r.write_rds(path, r.dgc(make_counts(), None, CELLS))
    with pytest.raises(InputError, match=r"the 20 genes of .* have no names"):
        read_header(path)
    few = r.numbers(np.ones(7), dim=r.numbers(np.array([2, 4])))
    r.write_rds(path, few)
    with pytest.raises(InputError, match=r"is 2 × 4, but the lengths of its arrays do not fit \(data 7\)"):
        read_header(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (r.a_list({"a": r.null, "b": r.null}), "holds a list of a, b, but no Seurat object"),
        (make_frame(), r"holds a data\.frame of label, text, .*can be written as csv"),
        (
            r.a_list({"coefficients": r.null}, **{"class": r.strings(["glm", "lm"])}),
            "of class glm / lm, but no",
        ),
        (r.s4("Giotto", "Giotto", expression=r.null), "an object of class Giotto of package Giotto, but no"),
        (r.null, "holds NULL, but no"),
        (r.strings(["a"]), "holds a character, but no"),
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
    """Any content is read or refused: no other error is raised, and nothing hangs."""
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
    with pytest.raises(InputError, match="its format was not recognized"):
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
        InputError, match=r"its counts are in /data/run1/counts, which is missing; put 'counts'"
    ):
        read_header(tmp_path / "a.rds")
    r.write_rds(tmp_path / "a.rds", r.s4("TransformLog1p", "BPCells", matrix=folder, **side))
    with pytest.raises(InputError, match=r"only described \(TransformLog1p of BPCells\)"):
        read_header(tmp_path / "a.rds")
