"""Text tables of cytometry, most of which have no event names."""

import gzip

import numpy as np
import pytest
from cellferry.errors import InputError
from reading import read_all, read_header

CHANNELS = ["Time", "CD3", "HLA-DR", "FSC-A", "CD19"]


def make_events(n_events=60):
    values = np.random.default_rng(0).normal(100, 300, (n_events, len(CHANNELS))).round(3).astype(np.float32)
    values[::7, 1] = 0
    return values


def write_events(path, values, *, end="\n", last="\n", header=None):
    lines = [header or ",".join(CHANNELS), *(",".join(map(repr, map(float, row))) for row in values)]
    text = end.join(lines) + last
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"end": "\r\n", "last": "\r\n"},
        {"end": "\r\n", "last": ""},
        {"last": ""},
        {"last": "\n\n\n"},
        {"end": "\r\n", "last": "\r\n\r\n"},
        {"end": "\n\n"},
        {"header": '"Time","CD3","HLA-DR","FSC-A","CD19"'},
        {"header": "\ufeffTime,CD3,HLA-DR,FSC-A,CD19"},
    ],
)
@pytest.mark.parametrize(("max_bytes", "glance"), [(10**6, 1 << 20), (700, 1 << 20), (700, 50), (10**6, 1)])
def test_a_table_without_names_of_events(tmp_path, monkeypatch, how, max_bytes, glance):
    monkeypatch.setattr("cellferry.formats.table.PREVIEW_BYTES", glance)
    values = make_events()
    header = read_header(write_events(tmp_path / "a.csv", values, **how), modality="cytometry")
    assert (header.n_cells, header.n_genes, header.in_order) == (60, 5, True)
    assert list(header.var.index) == CHANNELS
    assert list(header.var["kind"]) == ["time", "marker", "marker", "scatter", "marker"]
    found, names, _, _ = read_all(header, tmp_path, max_bytes)
    assert np.array_equal(found, values)
    assert list(names) == [f"event{number}" for number in range(1, 61)]


def test_a_packed_table_without_names(tmp_path):
    header = read_header(write_events(tmp_path / "a.csv.gz", make_events()), modality="cytometry")
    assert np.array_equal(read_all(header, tmp_path)[0], make_events())


@pytest.mark.parametrize(
    "called", ["", "cell", "cell_id", "Cell ID", "event", "barcode", "index", "event_id"]
)
@pytest.mark.parametrize("names", [["1", "2", "3"], ["a", "b", "c"]])
def test_a_table_with_names_of_events(tmp_path, called, names):
    lines = [f"{called},CD3,CD4", *(f"{name},1.5,-2" for name in names)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    header = read_header(tmp_path / "a.csv", modality="cytometry")
    assert list(header.var.index) == ["CD3", "CD4"]
    assert list(read_all(header, tmp_path)[1]) == names


def test_names_under_a_name_that_is_none_and_names_that_r_wrote(tmp_path):
    (tmp_path / "a.csv").write_text("sample,CD3,CD4\nx1,1.5,-2\nx2,1,2\n")
    header = read_header(tmp_path / "a.csv", modality="cytometry")
    assert list(header.var.index) == ["CD3", "CD4"]
    (tmp_path / "r.csv").write_text('"CD3","CD4"\n"1",1.5,-2\n"2",1,2\n')
    header = read_header(tmp_path / "r.csv", modality="cytometry")
    assert list(header.var.index) == ["CD3", "CD4"]
    found, names, _, _ = read_all(header, tmp_path)
    assert list(names) == ["1", "2"]
    assert np.array_equal(found, np.array([[1.5, -2], [1, 2]], dtype=np.float32))


def test_counts_of_genes_are_read_as_before(tmp_path):
    """A first column of numbers contains names unless the modality is cytometry."""
    path = write_events(tmp_path / "a.csv", make_events(3), header="RPL1,RPL2,RPL3,RPL4,RPL5")
    assert read_header(path, orientation="cells").n_genes == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2,3", r"a\.csv, line 4: has 3 values, but the header names 5 columns"),
        ("1,2,3,4,5,6", r"a\.csv, line 4: has 6 values, but the header names 5 columns"),
        ("1,2,x,4,5", r"a\.csv, line 4: 'x' in column 'HLA-DR' is not a number"),
    ],
)
def test_broken_lines_of_a_table_without_names(tmp_path, line, said):
    path = write_events(tmp_path / "a.csv", make_events(2), last=f"\n{line}\n")
    with pytest.raises(InputError, match=said):
        read_header(path, modality="cytometry")


def test_a_table_of_channels_without_events(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(CHANNELS) + "\n")
    assert read_header(tmp_path / "a.csv", modality="cytometry").n_cells == 0


def test_missing_values_of_a_table_without_names(tmp_path):
    path = write_events(tmp_path / "a.csv", make_events(2), last="\n,NA,NaN,4,\n")
    found = read_all(read_header(path, modality="cytometry"), tmp_path)[0]
    assert np.array_equal(np.isnan(found[2]), [True, True, True, False, True])
