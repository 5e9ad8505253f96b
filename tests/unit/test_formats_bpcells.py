"""BPCells folders, written here bit by bit according to their documentation."""

import anndata as ad
import numpy as np
import pytest
from cellferry.errors import InputError
from cellferry.formats.bpcells import open_matrix
from reading import read_all, read_header
from scipy import sparse

N_CELLS, N_GENES = 300, 40
CELLS = [f"{'ACGT' * 3}-{i}" for i in range(N_CELLS)]
GENES = [f"GENE{i}" for i in range(N_GENES)]
MAGIC = {"<u4": b"UINT32v1", "<u8": b"UINT64v1", "<f4": b"FLOATSv1", "<f8": b"DOUBLEv1"}
DTYPES = {"uint": "<u4", "float": "<f4", "double": "<f8"}


def make_counts():
    """Cells × genes, some of them large."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.7, size=(N_CELLS, N_GENES))
    counts[5] = 0
    counts[7, 3] = 16_000_000
    return counts


def write_numbers(path, values, dtype):
    path.write_bytes(MAGIC[dtype] + np.asarray(values, dtype=dtype).tobytes())


def pack(values):
    """Words and the start of each run; integer i of a run is in lane i % 4, bit i // 4 * bits of it."""
    words, begins = [], [0]
    for start in range(0, len(values), 128):
        run = [int(value) for value in values[start : start + 128]]
        run += [run[-1]] * (128 - len(run))
        bits = max(run).bit_length()
        lanes = [
            sum(value << (place * bits) for place, value in enumerate(run[lane::4])) for lane in range(4)
        ]
        words += [(lanes[lane] >> (32 * i)) & 0xFFFFFFFF for i in range(bits) for lane in range(4)]
        begins.append(len(words))
    return words, begins


def write_packed(folder, name, values, version):
    words, begins = pack(values)
    write_numbers(folder / f"{name}_data", words, "<u4")
    write_numbers(folder / f"{name}_idx", begins, "<u4")
    if version == 2:
        write_numbers(folder / f"{name}_idx_offsets", [0, len(begins)], "<u8")


def write_folder(
    folder, *, packed=True, kind="uint", order="col", version=2, counts=None, cells_are_rows=False
):
    folder.mkdir(exist_ok=True)
    counts = make_counts() if counts is None else counts
    stored = counts if cells_are_rows else counts.T
    matrix = (sparse.csc_matrix if order == "col" else sparse.csr_matrix)(stored)
    name = f"{'packed' if packed else 'unpacked'}-{kind}-matrix-v{version}"
    (folder / "version").write_text(f"{name}\n")
    (folder / "storage_order").write_text(f"{order}\n")
    sides = (CELLS, GENES) if cells_are_rows else (GENES, CELLS)
    for side, names in zip(("row", "col"), sides, strict=True):
        (folder / f"{side}_names").write_text("".join(f"{name}\n" for name in names))
    write_numbers(folder / "shape", matrix.shape, "<u4")
    write_numbers(folder / "idxptr", matrix.indptr, "<u8" if version == 2 else "<u4")
    if not packed:
        write_numbers(folder / "index", matrix.indices, "<u4")
    else:
        indices = matrix.indices.astype(np.int64)
        steps = np.diff(indices, prepend=0)
        steps[::128] = 0
        write_packed(folder, "index", np.where(steps >= 0, 2 * steps, -2 * steps - 1), version)
        write_numbers(folder / "index_starts", indices[::128], "<u4")
    if packed and kind == "uint":
        write_packed(folder, "val", matrix.data - 1, version)
    else:
        write_numbers(folder / "val", matrix.data, DTYPES[kind])
    return folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["uint", "float", "double"])
@pytest.mark.parametrize("order", ["col", "row"])
@pytest.mark.parametrize("version", [1, 2])
def test_all_variants(tmp_path, packed, kind, order, version):
    write_folder(tmp_path / "a", packed=packed, kind=kind, order=order, version=version)
    header = read_header(tmp_path / "a")
    assert (header.format, header.storage) == ("bpcells", "csr" if order == "col" else "csc")
    assert (header.n_cells, header.n_genes, header.nonzeros) == (N_CELLS, N_GENES, (make_counts() > 0).sum())
    assert header.dtype == str(np.dtype(DTYPES[kind]))
    assert header.places == {"matrix": True}
    for max_bytes in (2000, 10**6):
        counts, names, _, sizes = read_all(header, tmp_path / "scratch", max_bytes)
        assert np.array_equal(counts, make_counts().astype(np.float32))
        assert list(names) == CELLS
        assert all(size <= max_bytes for size in sizes)
    assert list(header.var.index) == GENES
    assert not list((tmp_path / "scratch").glob("*"))


@pytest.mark.parametrize("order", ["col", "row"])
def test_cells_are_rows(tmp_path, order):
    write_folder(tmp_path / "a", order=order, cells_are_rows=True)
    header = read_header(tmp_path / "a")  # decided by the barcodes
    assert header.in_order == (order == "row")
    counts, names, _, _ = read_all(header, tmp_path)
    assert np.array_equal(counts, make_counts())
    assert list(names) == CELLS
    turned = read_header(tmp_path / "a", orientation="genes")
    assert (turned.n_cells, turned.n_genes) == (N_GENES, N_CELLS)


def test_values_of_every_width(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.formats.bpcells.RUNS_AT_ONCE", 3)
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.integers(0, 2**bits, 128, dtype=np.uint64) for bits in range(33)])
    values = np.minimum(values, 2**32 - 2)
    counts = sparse.csr_matrix((values + 1, (np.arange(len(values)), np.zeros(len(values), dtype=int))))
    folder = tmp_path / "a"
    write_folder(folder)
    write_packed(folder, "val", values, 2)
    write_packed(folder, "index", np.zeros(len(values), dtype=int), 2)
    write_numbers(folder / "index_starts", [0] * 33, "<u4")
    write_numbers(folder / "idxptr", np.arange(len(values) + 1), "<u8")
    write_numbers(folder / "shape", [1, len(values)], "<u4")
    matrix = open_matrix(folder)
    assert np.array_equal(matrix["data"][:], counts.data)
    assert np.array_equal(matrix["data"][1000:3001], counts.data[1000:3001])
    assert len(matrix["data"][7:7]) == 0


def test_more_words_than_32_bits_count(tmp_path):
    """Positions of runs are stored modulo 2³²; the files of this test are the end of larger ones."""
    from cellferry.formats.bpcells import Packed

    write_numbers(tmp_path / "val_data", np.zeros(0), "<u4")
    write_numbers(tmp_path / "val_idx", [2**32 - 4, 0], "<u4")
    write_numbers(tmp_path / "val_idx_offsets", [0, 1, 2], "<u8")
    with pytest.raises(InputError, match="do not contain the 128 values"):  # no file holds 2³² words here
        Packed(tmp_path, "val", 128, has_offsets=True, has_starts=False)
    write_numbers(tmp_path / "val_idx", [0, 4], "<u4")
    write_numbers(tmp_path / "val_idx_offsets", [0, 2], "<u8")
    write_numbers(tmp_path / "val_data", [1] * 4, "<u4")
    assert Packed(tmp_path, "val", 128, has_offsets=True, has_starts=False)[:5].tolist() == [2, 2, 2, 2, 1]


def test_folder_above(tmp_path):
    write_folder(tmp_path / "a")
    write_folder(tmp_path / "b")
    with pytest.raises(
        InputError, match=r"is not a BPCells matrix itself, but contains .*a, .*b; name one of these"
    ):
        read_header(tmp_path)


def test_without_names(tmp_path):
    write_folder(tmp_path / "a")
    (tmp_path / "a" / "row_names").write_text("")
    with pytest.raises(InputError, match=r"a: is 40 × 300, but row_names holds 0 and col_names 300 names"):
        read_header(tmp_path / "a")


def test_other_versions(tmp_path):
    write_folder(tmp_path / "a")
    (tmp_path / "a" / "version").write_text("packed-fragments-v2\n")
    with pytest.raises(InputError, match=r"a: is a BPCells folder of version 'packed-fragments-v2', but"):
        read_header(tmp_path / "a")


def test_counts_key_does_not_fit(tmp_path):
    write_folder(tmp_path / "a")
    with pytest.raises(InputError, match=r"counts is 'raw'.*remove the key"):
        read_header(tmp_path / "a", counts="raw")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["uint", "double"])
def test_truncated_files(tmp_path, packed, kind):
    folder = write_folder(tmp_path / "a", packed=packed, kind=kind)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        # Below 2³² words only the end of idx_offsets is wrong, which is not needed there.
        path.write_bytes(whole[: len(whole) // 3 if path.name.endswith("offsets") else len(whole) * 2 // 3])
        with pytest.raises(InputError, match=r"(copy|write|download)"):
            read_all(read_header(folder), tmp_path)
        path.unlink()
        with pytest.raises(InputError):
            read_all(read_header(folder, file_format="bpcells"), tmp_path)
        path.write_bytes(whole)
    assert np.array_equal(read_all(read_header(folder), tmp_path)[0], make_counts())


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("index_starts", 9999, "<u4"),
        ("index_idx", 3, "<u4"),
        ("idxptr", 10**6, "<u8"),
        ("val_idx", 2**31, "<u4"),
    ],
)
def test_damaged_files(tmp_path, name, values, dtype):
    folder = write_folder(tmp_path / "a")
    numbers = np.frombuffer((folder / name).read_bytes()[8:], dtype=dtype).copy()
    numbers[5] = values
    write_numbers(folder / name, numbers, dtype)
    with pytest.raises(InputError, match=r"a.*damaged"):
        read_all(read_header(folder), tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("max_bytes", [2000, 10**6])
def test_real_folder(test_data, tmp_path, max_bytes):
    data = test_data / "formats/citeseq_AML_SCUBA"
    header = read_header(data / "AML_BPCells/RNA_counts")
    adata = ad.read_h5ad(data / "AML_h5ad.h5ad")
    counts, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(counts, adata.layers["counts"].toarray())
    assert list(names) == list(adata.obs_names)
    assert list(header.var.index) == list(adata.var_names)
    normalized = read_header(data / "AML_BPCells/RNA_data")
    assert normalized.places == {"matrix": False}
    found = read_all(normalized, tmp_path, max_bytes)[0]
    assert np.allclose(found, adata.X.toarray())
