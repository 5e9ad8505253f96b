"""Data frames in the storage of anndata and other writers, compared with anndata or R."""

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import settings
from anndata.io import read_elem, write_elem
from cellferry.formats.frame import Frame

STRING = h5py.string_dtype()
MISSING = np.iinfo(np.int32).min
LOGICALS = {"FALSE": 0, "TRUE": 1, "NA": 2}
WORDS = ["B cell", "T cell", "nan", "NA", "β-Zelle", "1", "1.0", " "]


def random_columns(seed):
    """Columns of every kind with their values (None if missing) in a frame of 0 to 12 rows."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([0, 1, 2, 7, 12]))
    is_missing = rng.random(n) < rng.choice([0, 0.4])

    def some(values, *, missing):
        drawn = [values[number] for number in rng.integers(len(values), size=n)]
        return [
            None if missing and absent else value for value, absent in zip(drawn, is_missing, strict=True)
        ]

    return n, {
        "strings": some(WORDS, missing=False),
        "strings or NA": some(WORDS, missing=True),
        "factor": some(WORDS, missing=True),
        "whole factor": some([3, 1, 20], missing=True),
        "fractional factor": some([0.5, 2.0, 1e6], missing=True),
        "logical factor": some([True, False], missing=True),
        "integers": some([0, -5, 7], missing=False),
        "integers or NA": some([0, -5, 7], missing=True),
        "fractions": some([0.25, 2.0], missing=True),
        "logicals": some([True, False], missing=False),
        "logicals or NA": some([True, False], missing=True),
    }


def as_pandas(n, columns):
    """The columns as a pandas DataFrame."""
    types = {
        "strings or NA": "string",
        "integers or NA": "Int64",
        "logicals or NA": "boolean",
        "fractions": float,
        "integers": int,
        "logicals": bool,
    }
    frame = pd.DataFrame(index=[f"cell{number}" for number in range(n)])
    for name, values in columns.items():
        if "factor" in name:
            levels = list(dict.fromkeys(value for value in values if value is not None))
            frame[name] = pd.Categorical(values, categories=pd.Index(levels) if levels else [])
        else:
            frame[name] = pd.Series(values, index=frame.index, dtype=types.get(name, object))
    return frame


def codes_and_levels(values):
    levels = list(dict.fromkeys(value for value in values if value is not None))
    return np.array([-1 if value is None else levels.index(value) for value in values], dtype="i4"), levels


def level_array(levels):
    if levels and not isinstance(levels[0], str):
        return np.array(levels)
    return np.array(levels, dtype=object).astype("O")


def begin(root, n, names):
    group = root.create_group("obs")
    group.create_dataset("_index", data=[f"cell{number}" for number in range(n)], dtype=STRING)
    group.attrs.update({"_index": "_index", "encoding-type": "dataframe", "encoding-version": "0.1.0"})
    group.attrs.create("column-order", list(names), dtype=STRING)
    return group


def plain(values):
    """Values as an array of h5py, without missing ones."""
    return np.array(values, dtype=object if values and isinstance(values[0], str) else None)


def write_0_6(root, n, columns):
    """One compound dataset, and categories in uns."""
    names = ["strings", "factor", "whole factor", "integers", "fractions", "logicals"]
    fields, stored = [("index", STRING)], [[f"cell{number}" for number in range(n)]]
    for name in names:
        values = columns[name]
        if "factor" in name:
            values, levels = codes_and_levels(values)
            data = level_array(levels)
            dtype = STRING if data.dtype == object else None
            root.require_group("uns").create_dataset(f"{name}_categories", data=data, dtype=dtype)
        kind = {"strings": STRING, "fractions": "f8", "logicals": "?"}.get(name, "i4")
        fields.append((name, kind))
        stored.append([np.nan if value is None else value for value in values])
    compound = np.empty(n, dtype=fields)
    for (name, _), values in zip(fields, stored, strict=True):
        compound[name] = values
    root["obs"] = compound
    return names


def write_0_7(root, n, columns):
    """Codes that refer to their categories."""
    names = ["strings", "factor", "whole factor", "fractional factor", "integers", "fractions", "logicals"]
    write_codes(root, n, columns, names, missing=-1, refers=True)
    return names


def write_seuratdisk(root, n, columns):
    """Codes without a reference, R's missing integer."""
    names = ["strings", "factor", "integers", "integers or NA", "fractions"]
    write_codes(root, n, columns, names, missing=MISSING, refers=False)
    return names


def write_codes(root, n, columns, names, *, missing, refers):
    obs = begin(root, n, names)
    for name in names:
        values = columns[name]
        if "factor" in name:
            codes, levels = codes_and_levels(values)
            data = level_array(levels)
            dtype = STRING if data.dtype == object else None
            categories = obs.require_group("__categories").create_dataset(name, data=data, dtype=dtype)
            obs[name] = np.where(codes < 0, missing, codes).astype("i4" if missing == MISSING else "i1")
            if refers:
                obs[name].attrs["categories"] = categories.ref
        elif name == "integers or NA":
            obs[name] = np.array([MISSING if value is None else value for value in values], dtype="i4")
        elif name == "fractions":
            obs[name] = np.array(values, dtype=float)
        else:
            obs.create_dataset(name, data=plain(values), dtype=STRING if name == "strings" else None)


def write_rhdf5(root, n, columns):
    """R's factors and logicals as enums, strings of a fixed length, each column n × 1."""
    names = ["strings", "whole factor", "integers", "logicals", "logicals or NA", "fractions"]
    obs = begin(root, n, names)
    obs.attrs["_index"] = np.array([b"_index"])
    obs.attrs["column-order"] = np.array([name.encode() for name in names])
    logical = h5py.enum_dtype(LOGICALS, basetype="i1")
    for name in names:
        values = columns[name]
        if name == "strings":
            obs[name] = np.array([value.encode() for value in values], dtype="S20")
        elif name == "whole factor":
            levels = {"1": 1, "3": 2, "20": 3, "NA level": 0}
            numbers = [0 if value is None else levels[str(value)] for value in values]
            obs.create_dataset(
                name, data=np.array(numbers, "i4"), dtype=h5py.enum_dtype(levels, basetype="i4")
            )
        elif "logicals" in name:
            numbers = [2 if value is None else int(value) for value in values]
            obs.create_dataset(name, data=np.array(numbers, "i1").reshape(n, 1), dtype=logical)
        else:
            obs[name] = np.array(values, dtype=float).reshape(n, 1)
    columns["whole factor"] = ["NA level" if value is None else value for value in columns["whole factor"]]
    return names


def write_mudataseurat(root, n, columns):
    """Groups of codes and categories, attributes of one element, no version of the encoding."""
    names = ["strings", "factor", "fractions"]
    obs = begin(root, n, names)
    obs.attrs["_index"] = np.array(["_index"], dtype=object)
    for name in names:
        values = columns[name]
        if name == "factor":
            codes, levels = codes_and_levels(values)
            group = obs.create_group(name)
            group["codes"] = codes
            group.create_dataset("categories", data=level_array(levels), dtype=STRING)
        else:
            data = np.array(values, dtype=float) if name == "fractions" else plain(values)
            obs.create_dataset(name, data=data, dtype=STRING if name == "strings" else None)
    return names


def write_h5py(root, n, columns):
    """Datasets without any attribute."""
    names = ["strings", "integers", "fractions", "logicals"]
    obs = root.create_group("obs")
    obs.create_dataset("index", data=[f"cell{number}" for number in range(n)], dtype=STRING)
    for name in names:
        values = columns[name]
        data = np.array(values, dtype=float) if name == "fractions" else plain(values)
        obs.create_dataset(name, data=data, dtype=STRING if name == "strings" else None)
    return names


def write_anndata(root, n, columns):
    with settings.override(allow_write_nullable_strings=True):
        write_elem(root, "obs", as_pandas(n, columns))
    return list(columns)


WRITERS = [
    write_0_6,
    write_0_7,
    write_seuratdisk,
    write_rhdf5,
    write_mudataseurat,
    write_h5py,
    write_anndata,
]


def shown(value):
    """A value of any type in a form for comparison."""
    if pd.isna(value):
        return None
    return float(value) if isinstance(value, float | int | np.number) and value is not True else value


def label(value):
    """Name of a category: a number in its shortest form."""
    return None if value is None else str(int(value) if type(value) is float and value % 1 == 0 else value)


def check(frame, columns, *, named=("logicals or NA",)):
    """Compare columns of a frame; logicals in `named` are strings, since they allow missing values."""
    for name, values in columns.items():
        is_text = "strings" in name or "factor" in name
        expected = [label(value) for value in values] if "factor" in name or name in named else values
        for rows in (slice(0, None), slice(1, 3)):
            found = frame.values(name, rows.start, rows.stop)
            assert [*map(shown, found)] == [*map(shown, expected[rows])], name
        if "logical" not in name:
            assert frame.is_string(name) == is_text, name


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("write", WRITERS)
def test_a_frame_is_read_as_its_writer_meant_it(tmp_path, write, seed):
    n, columns = random_columns(seed)
    with h5py.File(tmp_path / "a.h5", "w") as root:
        names = write(root, n, columns)
        frame = Frame(root, "obs")
        assert sorted(frame.columns) == sorted(names)
        assert len(frame) == n
        assert list(frame.names()) == [f"cell{number}" for number in range(n)]
        named = ("logicals", "logicals or NA") if write is write_rhdf5 else ("logicals or NA",)
        check(frame, {name: columns[name] for name in names}, named=named)


@pytest.mark.parametrize("seed", range(4))
def test_zarr_holds_the_same_frames(tmp_path, seed):
    n, columns = random_columns(seed)
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    write_anndata(root, n, columns)
    check(Frame(root, "obs"), columns)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("write", [write_0_6, write_0_7, write_anndata])
def test_anndata_reads_the_same(tmp_path, write, seed):
    n, columns = random_columns(seed)
    with h5py.File(tmp_path / "a.h5", "w") as root:
        names = write(root, n, columns)
        theirs = read_elem(root["obs"])
        columns = {
            name: [None if pd.isna(value) else value for value in theirs[name].astype(object)]
            for name in names
            if write is not write_0_6 or "factor" not in name  # version 0.6 leaves codes there
        }
        check(Frame(root, "obs"), columns)
