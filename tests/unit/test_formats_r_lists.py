"""Lists of R objects: each object has a path, and the user chooses among several."""

import gzip

import numpy as np
import pytest
import r_writer as r
from cellferry.errors import InputError
from r_cells import CELLS, GENES, make_counts, make_frame, make_seurat
from reading import read_all, read_header


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
    assert header.remarks[0].startswith(f"the object {two} is read, but not ")
    for assay in (one, f"{one}/RNA"):
        counts, _, obs, _ = read_all(read_header(path, assay=assay), tmp_path, columns=["label"])
        assert np.array_equal(counts, make_counts().toarray())
        assert obs["label"][1] == "β"
    with pytest.raises(InputError, match=r"assay is 'ADT', which is not in the Seurat object"):
        read_header(path, assay=f"{one}/ADT")
    with pytest.raises(InputError, match=r"assay is 'none', but it holds 2 objects with counts: "):
        read_header(path, assay="none")


def test_the_only_matrix_of_a_list_is_read(tmp_path):
    path = tmp_path / "a.rds"
    r.write_rds(path, r.a_list({"meta": make_frame(), "counts": make_other(), "note": r.strings(["x"])}))
    header = read_header(path)
    assert header.remarks == ["the object counts is read, but not meta, note"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts().toarray()[::-1])


def test_what_stands_in_no_list_is_read_first(tmp_path):
    path = tmp_path / "a.rda"
    r.write_rda(path, {"one": make_seurat(), "all": r.a_list({"two": make_other(), "three": make_other()})})
    header = read_header(path)
    assert header.remarks[0] == "the object one is read, but not all"
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts().toarray())
    header = read_header(path, assay="all/two")
    assert header.remarks[0] == "the object all/two is read, but not one, all/three"
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts().toarray()[::-1])


def test_results_are_no_lists_of_counts(tmp_path):
    path = tmp_path / "a.rds"
    fit = {"x": make_other(), "rotation": make_other()}
    r.write_rds(path, r.a_list(fit, **{"class": r.strings(["prcomp"])}))
    with pytest.raises(InputError, match="holds an object of class prcomp, but no Seurat object"):
        read_header(path)
