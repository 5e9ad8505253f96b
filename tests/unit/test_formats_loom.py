"""loom files: chunks, annotation, names and layers."""

import h5py
import numpy as np
import pytest
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header

N_CELLS, N_GENES = 90, 35


def make_counts():
    """Cells × genes."""
    return np.random.default_rng(0).poisson(0.5, size=(N_CELLS, N_GENES)).astype(np.float32)


def write_loom(
    path, *, version=3, chunks=(8, 16), dtype="f4", layers=(), cell_names="CellID", gene_names="Gene"
):
    with h5py.File(path, "w") as file:
        if version == 3:
            file["attrs/LOOM_SPEC_VERSION"] = "3.0.0"
        else:
            file.attrs["LOOM_SPEC_VERSION"] = np.array(["2.0.1"], dtype="S")
        arguments = {"chunks": chunks, "compression": None if chunks is None else "gzip"}
        file.create_dataset("matrix", data=make_counts().T.astype(dtype), **arguments)
        for name, counts in dict(layers).items():
            file.create_dataset(f"layers/{name}", data=counts.T, **arguments)
        file.require_group("layers")
        file[f"col_attrs/{cell_names}"] = [f"cell{i}" for i in range(N_CELLS)]
        labels = ["β-Zelle", "T"] if version == 3 else ["&#946;-Zelle", "T"]
        file["col_attrs/ct"] = [labels[i % 2].encode() for i in range(N_CELLS)]
        file["col_attrs/depth"] = np.arange(N_CELLS) * 0.5
        file["col_attrs/embedding"] = np.zeros((N_CELLS, 2))
        factor = h5py.enum_dtype({"a": 1, "b": 2}, basetype="u1")
        file["col_attrs/factor"] = np.array([1, 2, 0] * 30, dtype="u1").astype(factor)
        logical = h5py.enum_dtype({"FALSE": 0, "TRUE": 1, "NA": 2}, basetype="i1")
        file["col_attrs/logical"] = np.array([0, 1, 2] * 30, dtype="i1").astype(logical)
        file[f"row_attrs/{gene_names}"] = [f"G{i}" for i in range(N_GENES)]
        file["row_attrs/Accession"] = [f"ENSG{i:011d}" for i in range(N_GENES)]
        file["row_attrs/mean"] = np.zeros(N_GENES)
        for group in ("col_graphs", "row_graphs"):
            file.create_group(group)
    return path


@pytest.mark.parametrize("chunks", [(8, 16), (64, 64), (5, 90), (35, 1), None])
@pytest.mark.parametrize("dtype", ["f4", "i4", "u2", "f8"])
@pytest.mark.parametrize("most", [100, 10**6])
def test_chunks(tmp_path, monkeypatch, chunks, dtype, most):
    monkeypatch.setattr("cellferry.formats.loom.BLOCK_BYTES", most)
    if chunks is not None:
        chunks = tuple(np.minimum(chunks, (N_GENES, N_CELLS)).tolist())
    header = read_header(write_loom(tmp_path / "a.loom", chunks=chunks, dtype=dtype))
    assert (header.format, header.counts, header.nonzeros) == ("loom", "matrix", None)
    assert header.in_order == (most > 100)
    for max_bytes in (1000, 10**6):
        counts, names, _, sizes = read_all(header, tmp_path / "scratch", max_bytes)
        assert np.array_equal(counts, make_counts())
        assert list(names) == [f"cell{i}" for i in range(N_CELLS)]
        assert all(size <= max_bytes for size in sizes)
    assert not list((tmp_path / "scratch").glob("*"))


def test_wide_chunks_are_unpacked_once(tmp_path, monkeypatch):
    """The stripes of a file with wide chunks are larger than a block; its tiles are whole chunks."""
    header = read_header(write_loom(tmp_path / "a.loom", chunks=(5, 30)))
    header = header.replace(storage="dense genes × cells")
    read = []
    original = h5py.Dataset.__getitem__

    def recorded(self, key, *arguments, **keywords):
        if self.name == "/matrix":
            read.append(key)
        return original(self, key, *arguments, **keywords)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", recorded)
    blocks = list(formats.blocks(header, [], 5 * 30 * 32, tmp_path))
    assert sum(len(block) for block in blocks) == N_CELLS
    assert len(read) == (N_GENES // 5) * (N_CELLS // 30)
    assert all(rows.start % 5 == 0 and columns.start % 30 == 0 for rows, columns in read)


@pytest.mark.parametrize("version", [2, 3])
def test_annotation(tmp_path, version):
    header = read_header(write_loom(tmp_path / "a.loom", version=version))
    assert sorted(header.obs_columns) == ["ct", "depth", "factor", "logical"]
    _, _, obs, _ = read_all(header, tmp_path, 3000, header.obs_columns)
    assert list(obs["ct"][:2]) == ["β-Zelle", "T"]
    assert list(obs["factor"][:3]) == ["a", "b", None]
    assert list(obs["logical"][:3]) == ["False", "True", None]
    assert np.array_equal(obs["depth"], np.arange(N_CELLS) * 0.5)
    assert list(header.var.columns) == ["Accession"]
    assert header.var.index[3] == "G3"
    assert header.remarks == ["cells are named by CellID, genes by Gene"]


def test_names_as_scanpy_writes_them(tmp_path):
    path = write_loom(tmp_path / "a.loom", cell_names="obs_names", gene_names="var_names")
    header = read_header(path)
    assert header.var.index[3] == "G3"
    assert header.remarks == ["cells are named by obs_names, genes by var_names"]


def test_no_names(tmp_path):
    path = write_loom(tmp_path / "a.loom", cell_names="hello")
    with pytest.raises(
        InputError, match=r"a\.loom: col_attrs has no attribute CellID or .*it has .*hello.*rename the"
    ):
        read_header(path)


def test_layers(tmp_path):
    layers = {"spliced": make_counts() + 1, "norm": make_counts() + 0.5}
    path = write_loom(tmp_path / "a.loom", layers=layers)
    header = read_header(path)
    assert header.places == {"matrix": True, "layers/norm": False, "layers/spliced": True}
    assert header.counts == "matrix"
    for counts in ("spliced", "layers/spliced"):
        header = read_header(path, counts=counts)
        assert header.counts == "layers/spliced"
        assert np.array_equal(read_all(header, tmp_path)[0], make_counts() + 1)
    with pytest.raises(
        InputError, match=r"counts is 'unspliced'.*it has: matrix, layers/norm, layers/spliced"
    ):
        read_header(path, counts="unspliced")


def test_a_layer_whose_name_holds_a_slash(tmp_path):
    path = write_loom(tmp_path / "a.loom", layers={"raw/counts": make_counts() * 2})
    assert read_header(path).places == {"matrix": True, "layers/raw/counts": True}
    header = read_header(path, counts="layers/raw/counts")
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts() * 2)


def test_layers_counts_comes_first(tmp_path):
    path = write_loom(tmp_path / "a.loom", layers={"counts": make_counts() + 1})
    assert read_header(path).counts == "layers/counts"


def test_layer_of_another_shape(tmp_path):
    path = write_loom(tmp_path / "a.loom", chunks=None, layers={"x": make_counts()[:, :7]})
    with pytest.raises(
        InputError, match=r"layers/x is not a matrix of numbers, or differs in shape from the others"
    ):
        read_header(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_file(tmp_path, share):
    path = write_loom(tmp_path / "a.loom")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a\.loom: .*(copy|download)"):
        read_all(read_header(path), tmp_path)


def test_damaged_chunk(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    with h5py.File(path) as file:
        chunk = file["matrix"].id.get_chunk_info(8)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.loom: a piece \(chunk\) of /matrix does not unpack"):
        read_all(read_header(path), tmp_path)


@pytest.mark.parametrize("name", ["SCENIC", "mouseBrain_toy"])
def test_real_files(test_data, tmp_path, name):
    path = test_data / f"formats/loom/{name}.loom"
    header = read_header(path)
    counts, names, obs, _ = read_all(header, tmp_path, 20_000, ["CellType", "nUMI"])
    with h5py.File(path) as file:
        assert np.array_equal(counts, file["matrix"][:].T)
        assert list(names) == list(file["col_attrs/CellID"].asstr()[:])
        assert list(header.var.index) == list(file["row_attrs/Gene"].asstr()[:])
        assert np.array_equal(obs["nUMI"], file["col_attrs/nUMI"][:])
    assert set(obs["CellType"]) == {
        "astrocytes_ependymal",
        "interneurons",
        "microglia",
        "oligodendrocytes",
        "pyramidal CA1",
    }
    assert np.array_equal(counts.sum(axis=1), obs["nUMI"])
