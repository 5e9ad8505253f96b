"""HDF5 files with content that does not match their format: read all the same, or refused by name."""

import shutil

import h5py
import numpy as np
import pytest
from cellferry import formats
from cellferry.config.headers import obs_columns
from cellferry.errors import InputError
from reading import read_all, read_header
from scipy import sparse
from tenx_files import make_counts as make_tenx_counts
from tenx_files import write_h5
from test_formats_h5ad import make_adata
from test_formats_h5mu import make_two, write_h5mu
from test_formats_h5seurat import write_h5seurat
from test_formats_loom import make_counts as make_loom_counts
from test_formats_loom import write_loom

INSTEAD = {
    "a single value": lambda group, name: group.create_dataset(name, data=3),
    "nothing": lambda group, name: group.create_dataset(name, data=h5py.Empty("f4")),
    "a group": lambda group, name: group.create_group(name),
    "strings": lambda group, name: group.create_dataset(name, data=[b"a", b"b", b"c"]),
    "a matrix": lambda group, name: group.create_dataset(name, data=np.ones((3, 2))),
}
ATTRIBUTES = {"a number": 7, "numbers": np.array([1.5, 2.5]), "nothing": h5py.Empty("f4")}


def write_old_h5(path):
    """As Cell Ranger wrote it before version 3."""
    by_cell = sparse.csr_matrix(make_tenx_counts())
    with h5py.File(path, "w") as file:
        group = file.create_group("hg19")
        group["shape"] = by_cell.shape[::-1]
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(by_cell, key)
        lengths = {"barcodes": by_cell.shape[0], "genes": by_cell.shape[1], "gene_names": by_cell.shape[1]}
        for key, n in lengths.items():
            group[key] = [f"{key}{number}".encode() for number in range(n)]


WRITERS = {
    "a.h5ad": lambda path: make_adata(sparse.csr_matrix(make_adata().X)).write_h5ad(path),
    "a.loom": lambda path: write_loom(path, layers={"spliced": make_loom_counts()}),
    "a.h5": write_h5,
    "old.h5": write_old_h5,
    "a.h5mu": lambda path: write_h5mu(path, make_two()),
    "a.h5seurat": write_h5seurat,
}


def refusal(path, scratch):
    """Message for a file that cannot be read completely, or an empty string."""
    try:
        header = read_header(path)
        for columns in ([], *([column] for column in header.obs_columns)):
            list(formats.cells(header, columns))
        list(formats.blocks(header, [], 10**6, scratch))
    except InputError as error:
        return str(error)
    return ""


def check(path, scratch, what):
    """Check that the readers fail only with one sentence that names the file."""
    print(what)  # shown by pytest if another exception is raised
    said = refusal(path, scratch)
    assert not said or path.name in said
    assert "\n" not in said
    obs_columns({"path": str(path)})


def replaced(source, path, element, name):
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        group, attributes = file[element].parent, dict(file[element].attrs)
        del file[element]
        INSTEAD[name](group, element.rpartition("/")[2])
        file[element].attrs.update(attributes if name == "a group" else {})


@pytest.mark.parametrize("name", WRITERS)
def test_every_part_may_be_something_else(tmp_path, name):
    source = tmp_path / f"whole_{name}"
    WRITERS[name](source)
    elements, attributes = [], []
    with h5py.File(source) as file:
        file.visititems(lambda element, _: elements.append(element))
        for element in ("/", *elements):
            attributes += [(element, attribute) for attribute in file[element].attrs]
    for element in elements:
        for what in INSTEAD:
            replaced(source, tmp_path / name, element, what)
            check(tmp_path / name, tmp_path / "scratch", f"{what} in the place of {element}")
    for element, attribute in attributes:
        for what, value in ATTRIBUTES.items():
            shutil.copy(source, tmp_path / name)
            with h5py.File(tmp_path / name, "r+") as file:
                file[element].attrs[attribute] = value
            check(tmp_path / name, tmp_path / "scratch", f"{element} says {what} in {attribute}")


@pytest.mark.parametrize(
    ("name", "element", "instead", "said"),
    [
        (
            "a.h5",
            "matrix/barcodes",
            "a single value",
            "/matrix/barcodes is a single value or empty instead",
        ),
        ("a.h5", "matrix/features", "strings", "/matrix/features is an array instead of a group"),
        ("a.h5", "matrix/data", "a group", "/matrix/data is a group, not a one-dimensional array"),
        ("a.loom", "col_attrs", "a single value", "/col_attrs is an array instead of a group"),
        ("a.h5seurat", "meta.data/ct/values", "a matrix", "/meta.data/ct/values has values of shape (3, 2)"),
        ("a.loom", "layers", "strings", "/layers is an array instead of a group"),
        ("a.h5", "matrix/features/id", "strings", "its content does not match its format (Length"),
    ],
)
def test_the_part_is_named(tmp_path, name, element, instead, said):
    WRITERS[name](tmp_path / "whole")
    replaced(tmp_path / "whole", tmp_path / name, element, instead)
    refused = refusal(tmp_path / name, tmp_path / "scratch")
    assert f"{name}: " in refused
    assert said in refused


@pytest.mark.parametrize("name", ["a.h5", "old.h5", "a.h5ad", "a.loom"])
def test_what_stands_beside_the_parts_is_left_alone(tmp_path, name):
    WRITERS[name](tmp_path / name)
    n_cells = read_header(tmp_path / name).n_cells
    with h5py.File(tmp_path / name, "r+") as file:
        file["a_version"], file["zz_version"] = 3, "x"
        file["a_link"] = h5py.SoftLink("/nowhere")
        file.attrs["numbers"] = np.ones((2, 2))
    header = read_header(tmp_path / name)
    assert (header.n_cells, len(read_all(header, tmp_path / "scratch")[1])) == (n_cells, n_cells)
    assert obs_columns({"path": str(tmp_path / name)}) is not None or name == "a.loom"


@pytest.mark.parametrize("version", [7, np.array([[b"2.0.1"]]), np.empty(0), h5py.Empty("S1")])
def test_a_loom_file_of_an_odd_version_is_read(tmp_path, version):
    write_loom(tmp_path / "a.loom")
    with h5py.File(tmp_path / "a.loom", "r+") as file:
        del file["attrs"]
        file["attrs"] = version
        file.attrs["LOOM_SPEC_VERSION"] = version
    assert np.array_equal(read_all(read_header(tmp_path / "a.loom"), tmp_path)[0], make_loom_counts())
