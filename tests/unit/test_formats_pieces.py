"""Pieces (chunks) of arrays that are huge, or unpack to far more than their size."""

import json
import re
import resource
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import anndata as ad
import h5py
import numcodecs
import numpy as np
import pytest
import zarr
from cellferry.errors import DamagedPartError
from cellferry.formats.pieces import limited_memory, read_part
from sparse_files import CELLS, FORMATS, GENES, make_counts
from test_formats_hdf5 import FILTERS

ROOT = Path(__file__).parents[2]
MAX_MB = 1300
"""Memory of inspect_dataset, and 300 MB."""

BOMB_BYTES = 5 << 28
PACKED_BYTES = 1 << 29
PACKINGS = {"lzf": {"compression": "lzf"}, **FILTERS}

READ = """
import sys
sys.path[:0] = ["scripts", "tests", "tests/unit"]
from reading import read_all, read_header
from cellferry.errors import InputError
try:
    read_all(read_header(sys.argv[1]), sys.argv[2], columns=sys.argv[3:])
    print("was read")
except InputError as error:
    print(error)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)  # of this process alone, unlike ru_maxrss
"""


def said_of(path, *columns):
    """Message for a file that is read in a separate process with limited memory."""
    command = [sys.executable, "-W", "ignore", "-c", READ, str(path), str(path.parent / "s"), *columns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    said, mb = done.stdout.strip().rsplit("\n", 1)
    assert int(mb) < MAX_MB
    return said


def zeros(n_bytes=BOMB_BYTES):
    """This many zeros, compressed by zlib."""
    packer, some = zlib.compressobj(9), bytes(1 << 24)
    return b"".join([*(packer.compress(some) for _ in range(n_bytes >> 24)), packer.flush()])


def dense(folder):
    adata = ad.AnnData(make_counts().astype(np.float32))
    adata.obs_names, adata.var_names = CELLS, GENES
    adata.write_h5ad(folder / "a.h5ad")
    return folder / "a.h5ad"


def loom(folder):
    with h5py.File(folder / "a.loom", "w") as file:
        file["matrix"] = make_counts().T
        file["row_attrs/Gene"], file["col_attrs/CellID"] = GENES, CELLS
    return folder / "a.loom"


HDF5 = {
    "dense": (dense, "X"),
    "loom": (loom, "matrix"),
    "h5ad": (lambda folder: FORMATS["h5ad CSR"](folder, {}), "X/data"),
    "codes": (lambda folder: FORMATS["h5ad CSR"](folder, {}), "obs/batch/codes"),
    "names": (lambda folder: FORMATS["h5ad CSR"](folder, {}), "obs/_index/values"),
    "10x h5": (lambda folder: FORMATS["10x h5"](folder, {}), "matrix/indices"),
    "10x names": (lambda folder: FORMATS["10x h5"](folder, {}), "matrix/features/name"),
    "h5Seurat": (lambda folder: FORMATS["h5Seurat"](folder, {}), "assays/RNA/counts/data"),
}


def put(path, name, chunks, raw, **options):
    """Replace an array by one chunk that is already compressed."""
    with h5py.File(path, "r+") as file:
        shape, dtype, attributes = file[name].shape, file[name].dtype, dict(file[name].attrs)
        del file[name]
        made = file.create_dataset(
            name, shape, dtype, chunks=chunks, maxshape=(None,) * len(shape), **options
        )
        made.attrs.update(attributes)
        made.id.write_direct_chunk((0,) * len(shape), raw)
        return made.shape


@pytest.mark.parametrize("kind", HDF5)
def test_huge_chunks_of_hdf5(tmp_path, kind):
    write, name = HDF5[kind]
    path = write(tmp_path)
    chunks = (1 << 15, 1 << 13) if kind in ("dense", "loom") else (1 << 30,)
    put(path, name, chunks, zlib.compress(b"0"), compression="gzip")
    said = said_of(path, "batch") if kind == "codes" else said_of(path)
    assert re.match(rf"{path}: /{name} is stored in pieces \(chunks\) of [\d,]{{5,}} MB, each of which", said)
    assert "must be unpacked as a whole; write it again in pieces of at most 512 MB" in said


@pytest.fixture(scope="module")
def bomb():
    """More than a gigabyte of zeros, compressed."""
    return zeros()


@pytest.mark.parametrize("kind", HDF5)
def test_chunks_of_hdf5_that_unpack_to_more(tmp_path, kind, bomb):
    write, name = HDF5[kind]
    path = write(tmp_path)
    with h5py.File(path) as file:
        chunks = file[name].shape
    put(path, name, chunks, bomb, compression="gzip")
    said = said_of(path, "batch") if kind == "codes" else said_of(path)
    if kind == "10x h5":  # its chunks are unpacked here, up to their size
        assert said == "was read"
        return
    assert said.startswith(f"{path}: a piece (chunk) of /{name} does not unpack to the ")
    assert said.endswith("bytes that it should hold; the file is damaged: export it again")


def test_a_view_of_a_chunk_that_unpacks_to_more(tmp_path, bomb):
    path = FORMATS["h5ad CSR"](tmp_path, {})
    source = path.rename(tmp_path / "source.h5ad")
    shutil.copy(source, path)
    put(source, "X/data", (100,), bomb, compression="gzip")
    with h5py.File(path, "r+") as file:
        shape, dtype = file["X/data"].shape, file["X/data"].dtype
        del file["X/data"]
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:100] = h5py.VirtualSource("source.h5ad", "X/data", shape=shape)[:100]
        layout[100:] = h5py.VirtualSource("source.h5ad", "X/indices", shape=shape)[100:]
        file["X"].create_virtual_dataset("data", layout)
    assert "a piece (chunk) of /X/data does not unpack to the size of its source" in said_of(path)


@pytest.mark.parametrize("packing", PACKINGS)
def test_chunks_of_other_filters_that_unpack_to_more(tmp_path, packing):
    path = FORMATS["h5ad CSR"](tmp_path, {})
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        options = {"chunks": (PACKED_BYTES,), **PACKINGS[packing]}
        made = file.create_dataset("x", (PACKED_BYTES,), "u1", **options)
        made[:1] = 1
        raw = made.id.read_direct_chunk((0,))[1]
    put(path, "X/data", (100,), raw, **PACKINGS[packing])
    with (
        h5py.File(path) as file,
        pytest.raises(DamagedPartError, match="does not unpack to the 400 bytes that it should hold"),
    ):
        read_part(file["X/data"], slice(0, 10))


def test_the_limit_ends_with_the_reading():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), limited_memory(1 << 26):
        bytes(1 << 27)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(bytes(1 << 27)) == 1 << 27


def write_store(folder, version):
    with ad.settings.override(zarr_write_format=version):
        adata = ad.read_h5ad(FORMATS["h5ad CSR"](folder, {}))
        adata.write_zarr(folder / "a.zarr")
    return folder / "a.zarr"


def rewrite(path, name, compressor):
    """Write an array again as one chunk with a compressor; returns the chunk's file."""
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    values, attributes = root[name][:], dict(root[name].attrs)
    del root[name]
    options = {"shape": values.shape, "chunks": values.shape, "compressors": compressor}
    made = root.create_array(name, dtype=values.dtype if values.dtype.kind in "iuf" else str, **options)
    made[:] = values
    made.attrs.update(attributes)
    zarr.consolidate_metadata(path)
    return next(file for file in (path / name).rglob("[0-9]*") if file.is_file())


PACKED = [(2, "gzip", "X/data"), (2, "gzip", "obs"), (3, "gzip", "X/data"), (3, "gzip", "obs")]
PACKED += [(3, "zstd", "X/data"), (3, "blosc", "X/data"), (2, "zstd", "obs")]
COMPRESSORS = {
    2: {"gzip": numcodecs.GZip(), "zstd": numcodecs.Zstd()},
    3: {"gzip": zarr.codecs.GzipCodec(), "zstd": zarr.codecs.ZstdCodec(), "blosc": zarr.codecs.BloscCodec()},
}
BOMBS = {"gzip": numcodecs.GZip(9), "zstd": numcodecs.Zstd(), "blosc": numcodecs.Blosc()}


@pytest.mark.parametrize(("version", "packing", "name"), PACKED)
def test_chunks_of_zarr_that_unpack_to_more(tmp_path, version, packing, name):
    path = write_store(tmp_path, version)
    if name == "obs":
        name = next(name for name in ("obs/_index/values", "obs/_index") if (path / name).exists())
    chunk = rewrite(path, name, COMPRESSORS[version][packing])
    assert said_of(path) == "was read"
    chunk.write_bytes(BOMBS[packing].encode(np.zeros(BOMB_BYTES, dtype=np.uint8)))
    said = said_of(path)
    assert said.startswith(f"{path}: a piece (chunk) of /{name} does not unpack to the ")
    assert said.endswith("bytes that it should hold; the file is damaged: export it again")


@pytest.mark.parametrize("version", [2, 3])
def test_huge_chunks_of_zarr(tmp_path, version):
    path = write_store(tmp_path, version)
    rewrite(path, "X/data", COMPRESSORS[version]["zstd"])
    for file in ("X/data/.zarray", "X/data/zarr.json", "zarr.json", ".zmetadata"):
        if (path / file).is_file():
            metadata = json.loads((path / file).read_text())
            inside = metadata.get("consolidated_metadata", metadata).get("metadata", {})
            for array in (metadata, inside.get("X/data", {}), inside.get("X/data/.zarray", {})):
                if "chunk_grid" in array:
                    array["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 28]
                elif "chunks" in array:
                    array["chunks"] = [1 << 28]
            (path / file).write_text(json.dumps(metadata))
    assert said_of(path).startswith(
        f"{path}: /X/data is stored in pieces (chunks) of 1,024 MB, each of which"
    )
