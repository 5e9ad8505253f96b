"""Files with parts in other files, or with missing parts: refused by name, before anything is read."""

import h5py
import numpy as np
import pytest
from cellferry.config.headers import obs_columns
from cellferry.errors import InputError
from reading import read_all, read_header
from sparse_files import CELLS, FORMATS, N_CELLS, make_counts

H5AD = FORMATS["h5ad CSR"]


@pytest.fixture
def path(tmp_path):
    return H5AD(tmp_path, {})


def instead(path, name, make):
    """Replace an array by the result of `make(group, name, values)`."""
    with h5py.File(path, "r+") as file:
        group, _, last = name.rpartition("/")
        group = file[group or "/"]
        old = group[last]
        attributes = dict(old.attrs)
        values = old[()] if isinstance(old, h5py.Dataset) else None
        del group[last]
        new = make(group, last, values)
        if new is not None:
            new.attrs.update(attributes)


def view_of(source, name="x", *, shape=None, mapped=None):
    """A virtual dataset over one in another file."""

    def make(group, last, values):
        layout = h5py.VirtualLayout(values.shape, values.dtype)
        given = h5py.VirtualSource(source, name, shape=shape or values.shape)
        if mapped is None:
            layout[:] = given
        else:
            layout[:mapped] = given[:mapped]
        return group.create_virtual_dataset(last, layout)

    return make


def moved(path, name, target):
    """Move an array to a file of its own."""
    with h5py.File(path) as file, h5py.File(target, "w") as other:
        other["x"] = file[name][()]


def refused(path):
    with pytest.raises(InputError) as error:
        read_header(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["X/data", "X/indices", "X/indptr", "obs/batch/codes"])
def test_views_need_their_sources(tmp_path, path, name):
    moved(path, name, tmp_path / "source.h5")
    instead(path, name, view_of("source.h5"))
    counts, names, obs, _ = read_all(read_header(path), tmp_path / "s", columns=["batch"])
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS
    assert list(obs["batch"][:2]) == ["a", "b"]
    (tmp_path / "source.h5").unlink()
    assert f"/{name} is a view (an HDF5 virtual dataset) of source.h5, which is not there" in refused(path)
    with h5py.File(tmp_path / "source.h5", "w") as other:
        other["y"] = 1
    assert "of x in source.h5, which is missing or smaller" in refused(path)


def test_views_need_all_of_their_sources(tmp_path, path):
    moved(path, "X/data", tmp_path / "source.h5")
    with h5py.File(path) as file:
        n = file["X/data"].shape[0]
    instead(path, "X/data", view_of("source.h5", mapped=n - 2))
    assert f"only {n - 2} of its {n} values are in files" in refused(path)


def test_a_source_that_became_smaller(tmp_path, path):
    moved(path, "X/data", tmp_path / "source.h5")
    instead(path, "X/data", view_of("source.h5"))
    with h5py.File(tmp_path / "source.h5", "w") as other:
        other["x"] = np.ones(3)
    assert "smaller than it was" in refused(path)


def test_views_of_each_other(tmp_path, path):
    with h5py.File(path) as file:
        values = file["X/data"][:]
    with h5py.File(tmp_path / "source.h5", "w") as other:
        view_of("a.h5ad", "X/data")(other, "x", values)
    instead(path, "X/data", view_of("source.h5"))
    refused(path)


def test_a_source_that_points_elsewhere(tmp_path, path):
    moved(path, "X/data", tmp_path / "hidden.h5")
    with h5py.File(tmp_path / "source.h5", "w") as other:
        other["x"] = h5py.ExternalLink("hidden.h5", "/x")
    instead(path, "X/data", view_of("source.h5"))
    with pytest.raises(InputError, match=r"source\.h5: /x is a link to /x in the file hidden\.h5"):
        read_header(path)


def external(target):
    def make(group, last, values):
        return group.create_dataset(last, shape=(2,), dtype="S16", external=[(str(target), 0, 32)])

    return make


@pytest.mark.parametrize("is_there", [True, False])
def test_values_in_another_file(tmp_path, path, is_there):
    secret = tmp_path / "secret.txt"
    if is_there:
        secret.write_bytes(b"line one".ljust(16) + b"line two".ljust(16))
    instead(path, "obs/batch/categories", external(secret))
    said = refused(path)
    assert f"/obs/batch/categories is stored in the file {secret}" in said
    assert "line one" not in said


@pytest.mark.parametrize("name", ["X", "X/data", "obs", "obs/batch", "var"])
def test_links_to_another_file(tmp_path, path, name):
    other = tmp_path / "other.h5ad"
    other.write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink("other.h5ad", f"/{name}")
    assert f"/{name} is a link to /{name} in the file other.h5ad" in refused(path)
    assert obs_columns({"path": str(path)}) in (["batch"], None)


def test_a_link_to_such_a_link(tmp_path, path):
    with h5py.File(path, "r+") as file:
        file["uns/hidden"] = h5py.ExternalLink("other.h5ad", "/X/data")
        del file["X/data"]
        file["X/data"] = h5py.SoftLink("/uns/hidden")
    assert "/uns/hidden is a link to /X/data in the file other.h5ad" in refused(path)


def test_links_within_the_file_are_followed(tmp_path, path):
    with h5py.File(path, "r+") as file:
        file.move("X/data", "uns/moved")
        file["X/data"] = h5py.SoftLink("/uns/moved")
        file["uns/again"] = file["/"]
    assert np.array_equal(read_all(read_header(path), tmp_path / "s")[0], make_counts())


def test_links_that_lead_back(path):
    with h5py.File(path, "r+") as file:
        for name, target in (("obs/batch", "/uns/a"), ("uns/a", "/obs/batch")):
            file.pop(name, None)
            file[name] = h5py.SoftLink(target)
    with pytest.raises(InputError, match=r"a\.h5ad: .*a link in it leads back to itself"):
        read_all(read_header(path), path.parent / "s", columns=["batch"])


@pytest.mark.parametrize("chunks", [(100,), None])
@pytest.mark.parametrize("name", ["X/data", "X/indices", "X/indptr", "obs/batch/codes", "obs/_index"])
def test_what_was_never_written_is_no_zeros(path, name, chunks):
    sizes = {"X/data": 565, "X/indices": 565, "X/indptr": N_CELLS + 1}
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        dtype = h5py.string_dtype() if name == "obs/_index" else "i4"
        file.create_dataset(name, (sizes.get(name, N_CELLS),), dtype, chunks=chunks and (10,))
        file[name].attrs.update(attributes)
    with pytest.raises(
        InputError, match=rf"a\.h5ad: .*{name} has the shape .* of its \d+ chunks were never written"
    ):
        read_all(read_header(path), path.parent / "s", columns=["batch"])


@pytest.mark.parametrize("name", ["X/data", "obs/_index", "var/_index", "obs/batch/categories", "X/indptr"])
def test_huge_shapes_are_held_against_what_is_stored(path, name):
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        dtype = h5py.string_dtype() if name.startswith(("obs", "var")) else "i4"
        file.create_dataset(name, (10**12,), dtype, chunks=(10**4,))
        file[name].attrs.update(attributes)
    with pytest.raises(InputError, match=r"a\.h5ad: "):
        read_all(read_header(path), path.parent / "s", columns=["batch"])
