"""Parts in other files that are read with `follow_links`: only those in the same folder."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import anndata as ad
import cellferry
import h5py
import numpy as np
import pytest
from cellferry import formats
from cellferry.config.samples import all_files, automatic_chunks
from cellferry.errors import InputError
from cellferry.formats.hdf5 import refuse_what_crashes
from reading import read_all, read_header
from sparse_files import CELLS, FORMATS, make_counts
from test_formats_hdf5 import compress_by_unknown
from test_formats_parts_elsewhere import moved, view_of

KEY = "set datasets.blood.follow_links to true"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").mkdir()
    return FORMATS["h5ad CSR"](tmp_path / "data", {})


def point(path, name, target, inside=None):
    """Replace an element by a link."""
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(target), inside or f"/{name}")


def link(path, *names, other="other.h5ad"):
    """Replace elements by links to a copy of the file; returns the copy."""
    shutil.copy(path, path.parent / other)
    for name in names:
        point(path, name, other)
    return path.parent / other


def store(path, name, target, raw, *, offset=0, missing=0):
    """Move an array's values to a file of their own, with the external path `target`."""
    with h5py.File(path, "r+") as file:
        values, attributes = file[name][()], dict(file[name].attrs)
        raw.write_bytes((bytes(offset) + values.tobytes())[: offset + values.nbytes - missing])
        del file[name]
        external = [(str(target), offset, values.nbytes)]
        file.create_dataset(name, values.shape, values.dtype, external=external).attrs.update(attributes)


def refused(path, **options):
    with pytest.raises(InputError) as error:
        read_header(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def is_read(path, tmp_path, **options):
    header = read_header(path, follow_links=True, **options)
    counts, names, *_ = read_all(header, tmp_path / "s")
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS
    return header


@pytest.mark.parametrize("name", ["X", "X/data", "obs", "obs/_index", "var"])
def test_links_within_the_folder(tmp_path, path, name):
    link(path, name)
    assert refused(path).endswith(f"write everything into one file, or {KEY}")
    is_read(path, tmp_path)


@pytest.mark.parametrize("kind", ["10x h5", "h5Seurat"])
def test_links_of_other_formats(tmp_path, kind):
    path = FORMATS[kind](tmp_path, {})
    link(path, *(["matrix"] if kind == "10x h5" else ["assays/RNA", "cell.names"]))
    refused(path)
    is_read(path, tmp_path)


def test_links_of_loom_and_h5mu(tmp_path):
    adata = ad.AnnData(make_counts().astype(np.float32))
    adata.obs_names, adata.var_names = CELLS, [f"g{i}" for i in range(adata.n_vars)]
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as source, h5py.File(tmp_path / "a.h5mu", "w") as file:
        file["mod/rna"] = h5py.ExternalLink("a.h5ad", "/")
        source.copy("obs", file)
        source.copy("var", file)
    with h5py.File(tmp_path / "a.loom", "w") as file:
        file["matrix"] = make_counts().T
        file["row_attrs/Gene"], file["col_attrs/CellID"] = list(adata.var_names), CELLS
    link(tmp_path / "a.loom", "matrix", other="other.loom")
    for path in (tmp_path / "a.h5mu", tmp_path / "a.loom"):
        assert KEY in refused(path)
        is_read(path, tmp_path)


@pytest.mark.parametrize("offset", [0, 100])
def test_values_in_a_file_of_the_folder(tmp_path, path, offset):
    raw = path.parent / "values.raw"
    store(path, "X/data", raw, raw, offset=offset)
    assert KEY in refused(path)
    is_read(path, tmp_path)
    store(path, "X/indices", "short.raw", path.parent / "short.raw", missing=1)
    assert "/X/indices is stored in the file short.raw, which ends before the values" in refused(
        path, follow_links=True
    )


@pytest.mark.parametrize("first", ["cellferry", "h5py"])
def test_values_in_a_file_that_is_given_by_its_name(tmp_path, path, first):
    """HDF5 itself searches the job's working folder, unless set otherwise before it is loaded."""
    store(path, "X/data", "values.raw", path.parent / "values.raw")
    (tmp_path / "values.raw").write_bytes(bytes(10**4))
    script = f"""
import {first}
import sys
sys.path += {sys.path}
from reading import read_all, read_header
try:
    counts = read_all(read_header("data/a.h5ad", follow_links=True), "s")[0]
    print(int(counts.sum()))
except Exception as error:
    print(error)
"""
    folders = {"PYTHONPATH": str(Path(cellferry.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env=os.environ | folders | {"HDF5_EXTFILE_PREFIX": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {
        "cellferry": str(int(make_counts().sum())),
        "h5py": "data/a.h5ad: /X/data is stored in the file values.raw, where HDF5 finds nothing; put the "
        "original file there",
    }
    assert done.stdout.strip() == expected[first]


OUTSIDE = ["../secret.h5", "{}/secret.h5", "data/../../secret.h5", "sub/secret.h5", "out.h5", "..", "."]


@pytest.mark.parametrize("target", OUTSIDE)
@pytest.mark.parametrize("is_link", [True, False])
def test_what_lies_outside_stays_refused(tmp_path, path, target, is_link):
    target = target.format(tmp_path)
    (path.parent / "sub").mkdir()
    for folder in (tmp_path, path.parent / "sub"):
        shutil.copy(path, folder / "secret.h5")
    (path.parent / "out.h5").symlink_to("../secret.h5")
    if is_link:
        point(path, "X/data", target)
    else:
        store(path, "X/data", target, tmp_path / "unused")
    said = refused(path)
    assert f"/X/data is {'a link to /X/data in' if is_link else 'stored in'} the file {target}," in said
    assert "follow_links" not in said
    assert f"the file {target}, which is not in the same folder; put it" in refused(path, follow_links=True)
    assert list(all_files(str(path), follow_links=True)) == [path]


def test_links_that_lead_to_nothing(tmp_path, path):
    copy = link(path, "X/data")
    copy.rename(tmp_path / "kept.h5ad")
    assert "follow_links" not in refused(path)
    gone = "other.h5ad, which is not there; put that file beside it"
    assert gone in refused(path, follow_links=True)
    (path.parent / "other.h5ad").symlink_to("other.h5ad")
    assert gone in refused(path, follow_links=True)
    copy.unlink()
    os.mkfifo(copy)
    assert gone in refused(path, follow_links=True)
    copy.unlink()
    copy.write_text("something else")
    assert "other.h5ad: cannot be read, it is broken" in refused(path, follow_links=True)
    with h5py.File(copy, "w") as file:
        file["X/indices"] = 1
    assert "other.h5ad, where HDF5 finds nothing" in refused(path, follow_links=True)


def test_what_the_environment_lets_hdf5_find_first(tmp_path, path, monkeypatch):
    link(path, "X/data")
    shutil.copy(path.parent / "other.h5ad", tmp_path)
    monkeypatch.setenv("HDF5_EXT_PREFIX", str(tmp_path))
    assert "other.h5ad, where HDF5 finds nothing" in refused(path, follow_links=True)


def test_linked_files_are_looked_through_too(tmp_path, path):
    first = link(path, "X")
    second = link(first, "X/indices", other="third.h5ad")
    is_read(path, tmp_path)
    shutil.copy(second, tmp_path)
    point(second, "obs", "../third.h5ad")
    assert f"{second}: /obs is a link to /obs in the file ../third.h5ad, which is not in" in refused(
        path, follow_links=True
    )
    assert f"{path}: /X is a link" in refused(path)


def test_links_that_lead_back(tmp_path, path):
    copy = link(path, "X/data")
    with h5py.File(copy, "r+") as file:
        file["uns/back"] = h5py.ExternalLink(path.name, "/")
        file["uns/itself"] = h5py.ExternalLink(copy.name, "/X")
    is_read(path, tmp_path)
    point(copy, "X/data", path.name)
    assert "/X/data is a link to /X/data in the file a.h5ad, where HDF5 finds nothing" in refused(
        path, follow_links=True
    )
    assert list(all_files(str(path), follow_links=True)) == [path, copy]


def test_views_of_links(tmp_path, path):
    """A view of a link back to the view has no values; HDF5 would recurse until it crashes."""
    moved(path, "X/data", path.parent / "source.h5")
    with h5py.File(path, "r+") as file:
        values = file["X/data"][()]
        del file["X/data"]
        view_of("source.h5")(file["X"], "data", values)
    header = is_read(path, tmp_path)
    assert list(header.states) == [path, path.parent / "source.h5"]
    point(path.parent / "source.h5", "x", path.name, "/X/data")
    for follow_links in (False, True):
        assert "source.h5: /x is a link to /X/data" in refused(path, follow_links=follow_links)


def test_a_symlink_to_a_file_with_links(tmp_path, path):
    link(path, "X/data", "obs")
    (tmp_path / "a.h5ad").symlink_to("data/a.h5ad")
    shutil.copy(
        tmp_path / "a.h5ad", tmp_path / "other.h5ad"
    )  # HDF5 would open this first, and it points back
    header = is_read(tmp_path / "a.h5ad", tmp_path)
    assert list(header.states) == [tmp_path / "a.h5ad", path.parent / "other.h5ad"]


def test_linked_files_count_as_files_of_the_dataset(tmp_path, path, monkeypatch):
    copy = link(path, "X/data")
    assert list(all_files(str(path))) == [path]
    assert list(all_files(str(path), follow_links=True)) == [path, copy]
    monkeypatch.setattr("cellferry.config.samples.JOB_BYTES", path.stat().st_size)
    assert (automatic_chunks(str(path)), automatic_chunks(str(path), follow_links=True)) == (1, 2)
    header = read_header(path, follow_links=True)
    blocks = formats.blocks(header, [], 10**6, tmp_path / "s")
    next(blocks)
    os.utime(copy, (1, 1))
    with pytest.raises(InputError, match=r"other\.h5ad: was changed while it was read"):
        list(blocks)


def test_a_filter_that_is_missing_in_a_linked_file(path):
    copy = link(path, "X/data")
    compress_by_unknown(copy, path.parent / "packed.h5ad", "X/data")
    (path.parent / "packed.h5ad").rename(copy)
    assert "other.h5ad: X/data is compressed by the HDF5 filter" in refused(path, follow_links=True)


def test_a_linked_file_on_which_hdf5_crashes(path, monkeypatch):
    copy = link(path, "X/data")

    def look_at(name, element):
        if element.file.filename == str(copy):
            os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr("cellferry.formats.hdf5._look_at", look_at)
    refuse_what_crashes(path)
    with pytest.raises(InputError, match=r"other\.h5ad: cannot be read, .*HDF5 crashes on it"):
        refuse_what_crashes(path, follow_links=True)
