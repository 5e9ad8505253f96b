"""Pickles within zarr stores are never read, whatever the environment allows."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from reading import read_all, read_header
from running import ROOT

ALLOWED = {"ZARR_ARRAY__ALLOW_UNSAFE_PICKLE_DECODE": "True", "NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE": "1"}


class Making:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


ARRAYS = ("obs/_index", "var/_index", "obs/label/codes", "X")


@pytest.fixture(params=[*ARRAYS, "an object array"])
def pickled(request, tmp_path):
    """A store of format 2 in which the only chunk of an array is a pickle that makes a folder."""
    obs = pd.DataFrame(
        {"label": pd.Categorical(["T", "B"] * 10)}, index=[f"cell{number}" for number in range(20)]
    )
    cells = ad.AnnData(np.ones((20, 5), dtype=np.float32), obs=obs)
    with ad.settings.override(zarr_write_format=2, allow_write_nullable_strings=False):
        cells.write_zarr(tmp_path / "a.zarr")
    array = tmp_path / "a.zarr" / (request.param if request.param in ARRAYS else "obs/_index")
    (metadata,) = array.rglob(".zarray")
    changed = json.loads(metadata.read_text())
    kept = [] if request.param not in ARRAYS else changed["filters"] or []
    changed |= {"filters": [*kept, {"id": "pickle", "protocol": 5}], "compressor": None}
    metadata.write_text(json.dumps(changed))
    for chunk in metadata.parent.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Making(tmp_path / "made")))
    (tmp_path / "a.zarr/.zmetadata").unlink(missing_ok=True)
    return tmp_path / "a.zarr"


def test_a_pickle_is_refused_and_not_opened(pickled, tmp_path):
    with pytest.raises(InputError, match="contains pickled objects, and reading them would run code of"):
        read_all(read_header(pickled), tmp_path, columns=["label"])
    assert not (pickled.parent / "made").exists()


def test_it_is_refused_where_the_environment_allows_it(pickled):
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, str(pickled)],
        env={**os.environ, **ALLOWED, "PYTHONPATH": os.pathsep.join([f"{ROOT}/scripts", f"{ROOT}/tests"])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "InputError" in found.stderr
    assert "contains pickled objects" in found.stderr
    assert not (pickled.parent / "made").exists()


READ = """
import pathlib, sys
from reading import read_all, read_header
path = pathlib.Path(sys.argv[1])
read_all(read_header(path), path.parent, columns=["label"])
"""


def test_the_environment_would_have_allowed_it(pickled):
    """Without cellferry, the same chunk is opened: the tests above do not rely on a refusal by zarr."""
    array = next(
        path for path in Path(pickled).rglob("*") if path.is_file() and b"mkdir" in path.read_bytes()
    )
    code = "import sys, zarr; zarr.open_array(sys.argv[1], mode='r')[...]"
    found = subprocess.run(
        [sys.executable, "-c", code, str(array.parent)],
        env={**os.environ, **ALLOWED},
        capture_output=True,
        text=True,
    )
    of_objects = "No Zarr data type found" in found.stderr  # zarr no longer supports arrays of objects
    assert (pickled.parent / "made").exists() != of_objects
