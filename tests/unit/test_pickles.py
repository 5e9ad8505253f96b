"""PyTorch files: the code that they would run is listed without running it."""

import os
import pickle
import re
import zipfile

import numpy as np
import pytest
from cellferry.core.pickles import attributes_in, code_in


class Touching:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Running:
    def __reduce__(self):
        return os.system, ("exit 1",)


def as_zip(path, pickled, name="model/data.pkl"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, pickled)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_would_call_is_named_and_not_called(tmp_path, protocol):
    pickled = pickle.dumps({"weights": [1.0], "more": Touching(tmp_path / "touched")}, protocol)
    (tmp_path / "plain.pt").write_bytes(pickled)
    for file in (tmp_path / "plain.pt", as_zip(tmp_path / "zip.pt", pickled)):
        assert any("mkdir" in name for name in code_in(file))
    assert not (tmp_path / "touched").exists()


def test_names_of_data_and_tables_are_no_code(tmp_path):
    pandas = pytest.importorskip("pandas")
    data = {
        "names": np.array(["a", None], dtype=object),
        "scalar": np.float32(1),
        "text": np.str_("x"),
        "none": np.zeros(0, dtype=int),
        "losses": pandas.DataFrame({"elbo": [1.0, 2.0]}),
        "slice": slice(3),
        "bytes": b"\xff",
        "set": {1},
    }
    assert code_in(as_zip(tmp_path / "model.pt", pickle.dumps(data, 2))) == []


@pytest.mark.parametrize("module", ["os", "builtins", "numpy", "torch", "torch.storage", "collections"])
def test_a_name_beside_those_of_data_is_code(tmp_path, module):
    (tmp_path / "model.pt").write_bytes(f"c{module}\nload\n(tR.".encode())
    assert code_in(tmp_path / "model.pt") == [f"{module}.load"]


def test_a_second_pickle_of_a_file_and_of_an_archive_is_looked_at(tmp_path):
    hostile = pickle.dumps(Running(), 2)
    (tmp_path / "two.pt").write_bytes(pickle.dumps(1) + pickle.dumps(2) + hostile)
    as_zip(tmp_path / "zip.pt", pickle.dumps(1))
    with zipfile.ZipFile(tmp_path / "zip.pt", "a") as archive:
        archive.writestr("other/data.pkl", hostile)
    for name in ("two.pt", "zip.pt"):
        assert code_in(tmp_path / name) == [f"{os.system.__module__}.system"]


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02", b"\x80\x02}q\x00(X"])
def test_what_is_no_pickle_names_nothing(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    assert code_in(tmp_path / "model.pt") == []


def test_garbage_after_a_name_does_not_hide_it(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"cos\nsystem\n\x00\x00garbage")
    assert code_in(tmp_path / "model.pt") == ["os.system"]


def test_what_is_a_pickle_and_a_zip_is_looked_at_as_both(tmp_path):
    as_zip(tmp_path / "model.pt", pickle.dumps(1))
    archive = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Running(), 2) + archive)
    assert zipfile.is_zipfile(tmp_path / "model.pt")
    assert code_in(tmp_path / "model.pt") == [f"{os.system.__module__}.system"]


class Held:
    """Replaces a class of the package that made a model."""

    def __init__(self):
        self.weights = np.arange(3.0)
        self.names = np.array(["a", "b"], dtype=object)


OF_TESTS = re.compile(r".+\.Held")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_attributes_are_read_without_their_class(tmp_path, protocol):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"model": Held(), "scalar": np.float64(2)}, protocol))
    found = attributes_in(tmp_path / "m.pkl", OF_TESTS)
    assert type(found["model"]).__name__ == "Held"
    assert type(found["model"]) is not Held
    assert found["model"].weights.tolist() == [0, 1, 2]
    assert found["model"].names.tolist() == ["a", "b"]
    assert found["scalar"] == 2


def test_what_else_a_pickle_names_is_refused_and_not_called(tmp_path):
    for number, more in enumerate((Touching(tmp_path / "touched"), Running(), [np.load], {"a": type})):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps({"model": Held(), "more": more}))
        with pytest.raises(ValueError, match="it names "):
            attributes_in(path, OF_TESTS)
    assert not (tmp_path / "touched").exists()
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(Held())[:-5])
    with pytest.raises(ValueError, match=r"truncated|Ran out"):
        attributes_in(tmp_path / "cut.pkl", OF_TESTS)
