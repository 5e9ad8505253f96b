"""Parquet and Feather files: orientation, names, missing values and damaged pages."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header

N_CELLS, N_GENES = 90, 30
CELLS = [f"{'ACGT' * 4}-{i}" for i in range(N_CELLS)]
GENES = [f"ENSG{i:011d}" for i in range(N_GENES)]


def make_counts():
    """Cells × genes."""
    return np.random.default_rng(0).poisson(0.6, size=(N_CELLS, N_GENES))


def make_table(dtype="int64", annotation=True):
    table = pd.DataFrame(make_counts().astype(dtype), index=pd.Index(CELLS, name="cell"), columns=GENES)
    if annotation:
        table.insert(0, "ct", pd.Categorical(["B", "T", None] * 30))
        table.insert(3, "batch", ["x", None, "z"] * 30)
        table["flag"] = np.arange(N_CELLS) % 2 == 0
        table["day"] = pd.Timestamp("2020-01-01")
    return table


def write(table, path, *, group=25, with_index=True):
    table = pa.Table.from_pandas(table, preserve_index=with_index)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=group)
    else:
        pyarrow.feather.write_feather(table, path, chunksize=group)
    return path


@pytest.fixture(params=[".parquet", ".feather"])
def ending(request):
    return request.param


@pytest.mark.parametrize("dtype", ["int64", "float32", "uint8", "float64"])
@pytest.mark.parametrize("most", [100, 10**6])
def test_cells_are_rows(tmp_path, monkeypatch, ending, dtype, most):
    monkeypatch.setattr("cellferry.formats.parquet.BLOCK_BYTES", most)
    path = write(make_table(dtype), tmp_path / f"a{ending}")
    header = read_header(path)
    assert (header.format, header.in_order) == ("parquet", most > 100)
    assert (header.obs_columns, header.places) == (["ct", "batch", "flag"], {"matrix": True})
    assert header.remarks == [
        "rows are named by the column cell",
        "columns left out, neither numbers nor text: day",
    ]
    for max_bytes in (1500, 10**6):
        counts, names, obs, sizes = read_all(header, tmp_path / "scratch", max_bytes, header.obs_columns)
        assert np.array_equal(counts, make_counts())
        assert list(names) == CELLS
        assert list(obs["ct"][:3]) == ["B", "T", None]
        assert list(obs["batch"][-3:]) == ["x", None, "z"]
        assert list(obs["flag"][:2]) == ["True", "False"]
        assert all(size <= max_bytes for size in sizes)
    assert list(header.var.index) == GENES
    assert not list((tmp_path / "scratch").glob("*"))


def test_genes_are_rows(tmp_path, ending):
    table = make_table(annotation=False).T
    table.insert(0, "symbol", [f"S{i}" for i in range(N_GENES)])
    header = read_header(write(table, tmp_path / f"a{ending}", group=7))
    assert not header.in_order
    for max_bytes in (1000, 10**6):
        counts, names, _, _ = read_all(header, tmp_path, max_bytes)
        assert np.array_equal(counts, make_counts())
        assert list(names) == CELLS
    assert list(header.var.index) == GENES
    assert list(header.var["symbol"][:2]) == ["S0", "S1"]
    assert header.obs_columns == []


def test_names_in_a_column(tmp_path, ending):
    table = make_table(annotation=False).reset_index()
    header = read_header(write(table, tmp_path / f"a{ending}", with_index=False))
    assert header.remarks == ["rows are named by the column cell"]
    assert list(read_all(header, tmp_path)[1]) == CELLS


def test_no_names(tmp_path, ending):
    table = make_table(annotation=False).reset_index(drop=True)
    with pytest.raises(InputError, match=r"none of its columns contains strings, so its rows have no names"):
        read_header(write(table, tmp_path / f"a{ending}", with_index=False))


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("named", ["cell", "cell_id", "barcode", None])
@pytest.mark.parametrize("annotation", [True, False])
def test_names_that_are_integers(tmp_path, ending, with_index, named, annotation):
    table = make_table(annotation=annotation)
    names = np.arange(1000, 1000 + N_CELLS)
    table.index = pd.Index(names, name=named)
    if not with_index:
        table = table.rename_axis(named or "index").reset_index()
    header = read_header(write(table, tmp_path / f"a{ending}", with_index=with_index))
    assert list(header.var.index) == GENES
    assert list(read_all(header, tmp_path)[1]) == list(map(str, names))


def test_columns_that_are_no_cells(tmp_path, ending):
    table = make_table(annotation=False).T
    table.columns = [f"s{number}" for number in range(N_CELLS)]
    expected = table.to_numpy().T
    table.insert(0, "Length", 1000)
    table["EntrezID"] = range(N_GENES)
    header = read_header(write(table, tmp_path / f"a{ending}"))
    assert header.n_cells == N_CELLS
    assert "Length, EntrezID; if they are cells, set datasets.blood.not_cells" in header.warnings[0]
    found, names, _, _ = read_all(header, tmp_path)
    assert np.array_equal(found, expected)
    assert list(names) == [f"s{number}" for number in range(N_CELLS)]
    assert read_header(tmp_path / f"a{ending}", not_cells=[]).n_cells == N_CELLS + 2
    table = table.rename(columns={"Length": "kb"})
    with pytest.raises(InputError, match=r"the column 'kb' has .* set datasets\.blood\.not_cells"):
        read_header(write(table, tmp_path / f"b{ending}"))


def test_orientation_that_cannot_be_told(tmp_path, ending):
    table = make_table(annotation=False)
    table.index, table.columns = [f"a{i}" for i in range(N_CELLS)], [f"b{i}" for i in range(N_GENES)]
    path = write(table, tmp_path / f"a{ending}")
    with pytest.raises(InputError, match=r"it is unclear whether .* set datasets\.blood\.orientation"):
        read_header(path)
    assert read_header(path, orientation="genes").n_cells == N_GENES
    assert read_header(path, orientation="cells").n_cells == N_CELLS


def test_dots_in_names_are_no_nesting(tmp_path, ending):
    names = ["HLA", "HLA.A", "HLA.A.1", *GENES[3:]]
    table = make_table(annotation=False).set_axis(names, axis="columns")
    header = read_header(write(table, tmp_path / f"a{ending}"))
    assert list(header.var.index) == names
    assert np.array_equal(read_all(header, tmp_path)[0], make_counts())


def test_missing_values_are_no_zeros(tmp_path, ending):
    table = make_table(annotation=False).astype("Int64")
    table.iloc[3, 4] = pd.NA
    header = read_header(write(table, tmp_path / f"a{ending}"))
    found = np.argwhere(np.isnan(read_all(header, tmp_path)[0]))
    assert found.tolist() == [[3, 4]]


def test_fractions_are_no_counts(tmp_path, ending):
    header = read_header(write(make_table("float64", annotation=False) / 3, tmp_path / f"a{ending}"))
    assert header.places == {"matrix": False}


@pytest.mark.parametrize("bounds", [(0, 90), (10, 11), (24, 76), (50, 90), (25, 50)])
def test_ranges_of_cells(tmp_path, ending, bounds):
    header = read_header(write(make_table(), tmp_path / f"a{ending}"))
    found = list(formats.blocks(header, ["ct"], 3000, tmp_path, *bounds))
    assert np.concatenate([block.names for block in found]).tolist() == CELLS[slice(*bounds)]
    assert np.array_equal(
        np.vstack([block.counts.toarray() for block in found]), make_counts()[slice(*bounds)]
    )


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_file(tmp_path, ending, share):
    path = write(make_table(), tmp_path / f"a{ending}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"cannot be read, .*broken.*(copy or download it again)"):
        read_all(read_header(path), tmp_path)


def test_damaged_pages(tmp_path):
    path = write(make_table(), tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    content[2000:4000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        list(formats.blocks(read_header(path), [], 10**6, tmp_path))


def test_checksums_of_pages_are_compared(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pandas(make_table(annotation=False))
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content, values = path.read_bytes(), table.column(GENES[3]).to_numpy()
    changed = values.copy()
    changed[7] += 1
    assert content.count(values.tobytes()) == 1
    path.write_bytes(content.replace(values.tobytes(), changed.tobytes()))
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read.*CRC"):
        read_all(read_header(path), tmp_path)


def test_old_feather(tmp_path):
    (tmp_path / "a.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(InputError, match=r"is a feather file of version 1; write it again"):
        read_header(tmp_path / "a.feather")


def test_columns_of_one_name(tmp_path):
    table = pa.table([pa.array(["a", "b"]), pa.array([1, 2]), pa.array([1, 2])], names=["n", "x", "x"])
    pyarrow.feather.write_feather(table, tmp_path / "a.feather")
    with pytest.raises(InputError, match=r"has several columns named 'x'; make them unique"):
        read_header(tmp_path / "a.feather")
