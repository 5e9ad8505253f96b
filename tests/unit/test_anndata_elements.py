"""anndata_elements: anndata reads them back unchanged, and they are written as by anndata."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.anndata_elements import read_frame, write_element, write_frame

VALUES = {
    "text": "a word",
    "number": 3,
    "share": 0.5,
    "yes": True,
    "numbers": np.arange(3, dtype=np.uint32),
    "texts": ["β-actin", "", "b"],
    "none": [],
    "table": np.zeros((2, 2), dtype=np.float32),
    "inner": {"deep": {"deeper": 1}, "empty": {}},
}
FRAME = pd.DataFrame(
    {
        "symbol": ["A", "B", "C"],
        "gene_ids": ["x", None, "z"],
        "measured": [True, False, True],
        "rank": [1, 2, 3],
        "share": [0.5, np.nan, 1],
    },
    index=["ENSG1", "ENSG2", "ENSG3"],
)

LOOSELY = {"check_dtype": False, "check_index_type": False, "check_column_type": False}


def attributes(group):
    """Attributes of a group and all elements in it, with type and shape of every array."""
    found = {"": dict(group.attrs)}

    def add(name, element):
        kind = (element.dtype, element.shape) if isinstance(element, h5py.Dataset) else ()
        found[name] = (*sorted((key, str(value)) for key, value in element.attrs.items()), *kind)

    group.visititems(add)
    return found


def test_a_dict_is_as_anndata_writes_it(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_element(file, "ours", VALUES)
        ad.io.write_elem(file, "theirs", VALUES | {"none": np.array([], dtype=float)})
        assert attributes(file["ours"]) == attributes(file["theirs"])
        read = ad.io.read_elem(file["ours"])
    assert read["text"] == "a word"
    assert list(read["texts"]) == VALUES["texts"]
    assert read["inner"] == {"deep": {"deeper": 1}, "empty": {}}
    assert np.array_equal(read["table"], VALUES["table"])


@pytest.mark.parametrize("frame", [FRAME, FRAME[[]], FRAME.iloc[:0], FRAME[["gene_ids"]]])
def test_a_table_is_read_by_anndata_and_by_us(tmp_path, frame):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_frame(file, "var", frame)
        pd.testing.assert_frame_equal(ad.io.read_elem(file["var"]), frame, **LOOSELY)
        found = read_frame(file["var"])
    pd.testing.assert_frame_equal(found, frame, **LOOSELY)
    for column in found:
        assert (found[column].dtype.kind in "bif") == (frame[column].dtype.kind in "bif") or frame.empty


@pytest.mark.parametrize("value", [None, object(), ["a", None], [1, "a", None], b"bytes"])
def test_what_has_no_place_in_a_file_is_refused(tmp_path, value):
    with h5py.File(tmp_path / "x.h5", "w") as file, pytest.raises(TypeError):
        write_element(file, "value", value)


def test_a_table_of_anndata_whose_index_has_a_name(tmp_path):
    """As in files of earlier versions."""
    frame = FRAME[["rank"]].rename_axis("gene")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        ad.io.write_elem(file, "var", frame)
        pd.testing.assert_frame_equal(read_frame(file["var"]), frame, check_names=False, **LOOSELY)
