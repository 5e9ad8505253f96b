"""Annotation tables: columns joined to cells by name or by order, and refused tables."""

import gzip

import numpy as np
import pytest
from cellferry.datasets.obs_table import ObsTable
from cellferry.errors import InputError

OBS = "cell,ct,age,mixed\ns1,B,3,1\ns0,NA,,x\ns7,nan,1.5,\n"


@pytest.mark.parametrize("name", ["obs.csv", "obs.csv.gz"])
@pytest.mark.parametrize("r_style", [True, False])
def test_obs_table(tmp_path, name, r_style):
    text = OBS.removeprefix("cell,") if r_style else OBS
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = ObsTable(tmp_path / name, "datasets.blood.obs")
    assert table.columns == ["ct", "age", "mixed"]
    table.load(["ct", "age", "mixed"], numeric={"age", "mixed"})
    found = table.join(np.array(["s0", "s1", "s2", "s7"], dtype=object), ["ct", "age", "mixed"])
    assert list(found["ct"]) == [None, "B", None, "nan"]
    assert np.array_equal(found["age"], [np.nan, 3, np.nan, 1.5], equal_nan=True)
    assert list(found["mixed"]) == ["x", "1", None, None]
    assert table.n_matched == 3


def test_obs_table_keeps_ids_as_they_are_written(tmp_path):
    (tmp_path / "obs.csv").write_text("cell,donor\na,001\nb,01\nc,1\nd,12345678901234567\n")
    table = ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")
    table.load(["donor"])
    found = table.join(np.array(["a", "b", "c", "d"], dtype=object), ["donor"])["donor"]
    assert list(found) == ["001", "01", "1", "12345678901234567"]


def test_obs_table_in_several_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.datasets.obs_table.ROWS_AT_ONCE", 2)
    (tmp_path / "obs.csv").write_text(OBS)
    table = ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")
    table.load(["mixed", "ct"])
    assert list(table.join(np.array(["s7", "s1"], dtype=object), ["ct"])["ct"]) == ["nan", "B"]


def test_obs_table_that_names_a_cell_twice(tmp_path):
    (tmp_path / "obs.csv").write_text(OBS + "s1,T,2,\n")
    with pytest.raises(
        InputError, match=r"obs\.csv \(datasets\.blood\.obs\): the cell 's1' has more than one row"
    ):
        ObsTable(tmp_path / "obs.csv", "datasets.blood.obs").load(["ct"])


def test_obs_table_that_is_broken(tmp_path):
    (tmp_path / "obs.csv").write_text("")
    with pytest.raises(InputError, match="the table is empty; name another or remove the key"):
        ObsTable(tmp_path / "obs.csv", "datasets.blood.obs")
    (tmp_path / "a.csv").write_text(OBS + "s8,T,2,3,4,5\n")
    with pytest.raises(InputError, match=r"a\.csv \(datasets\.blood\.obs\): is not a regular table"):
        ObsTable(tmp_path / "a.csv", "datasets.blood.obs").load(["ct"])
    packed = gzip.compress((OBS + "".join(f"c{i},T,{i},\n" for i in range(5000))).encode())
    (tmp_path / "b.csv.gz").write_bytes(packed[:-100])
    with pytest.raises(InputError, match=r"b\.csv\.gz: cannot be read"):
        ObsTable(tmp_path / "b.csv.gz", "datasets.blood.obs").load(["ct"])


def by_order(path, columns, numeric=frozenset()):
    table = ObsTable(path, "datasets.blood.obs", by_order=True)
    table.load(columns, numeric=numeric)
    return table


def test_obs_table_by_order(tmp_path, monkeypatch):
    monkeypatch.setattr("cellferry.datasets.obs_table.ROWS_AT_ONCE", 2)
    (tmp_path / "obs.csv").write_text(OBS + "s1,T,2,\n")  # a duplicate name is allowed
    table = by_order(tmp_path / "obs.csv", ["cell", "ct", "age"], {"age"})
    assert table.columns == ["cell", "ct", "age", "mixed"]
    assert table.n_rows == 4
    found = table.lines(0, 4, ["cell", "ct", "age"])
    assert list(found["cell"]) == ["s1", "s0", "s7", "s1"]
    assert list(found["ct"]) == ["B", None, "nan", "T"]
    assert np.array_equal(found["age"], [3, np.nan, 1.5, 2], equal_nan=True)
    assert list(table.lines(1, 3, ["ct"])["ct"]) == [None, "nan"]
    assert list(table.lines(2, 2, ["ct"])["ct"]) == []
    table.load(["ct"])
    assert table.n_rows == 4


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_column_of_labels_alone(tmp_path, end):
    """An empty line is an event without a label."""
    (tmp_path / "obs.csv").write_bytes(
        end.join(["population", "B cell", "", '"T, naive"', "B cell", ""]).encode()
    )
    table = by_order(tmp_path / "obs.csv", ["population"])
    assert table.n_rows == 4
    assert list(table.lines(0, 4, ["population"])["population"]) == ["B cell", None, "T, naive", "B cell"]


def test_labels_that_r_wrote_by_order(tmp_path):
    (tmp_path / "obs.csv").write_text('"population"\n"1","B"\n"2","T"\n')
    table = by_order(tmp_path / "obs.csv", ["population"])
    assert table.columns == ["population"]
    assert list(table.lines(0, 2, ["population"])["population"]) == ["B", "T"]
