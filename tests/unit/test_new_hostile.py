"""`make new` with columns, layers and paths named like parts of a configuration."""

import os

import numpy as np
import pytest
import yaml
from cellferry.commands.new import __main__ as new
from cellferry.commands.new.config_text import Line, check_as_meant, written
from cellferry.config.checks import check
from cellferry.core.text import printable
from cellferry.errors import InputError
from simulate import simulate_cells

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = [
    "sample\n    path: other.h5ad\n    #",
    "sample\r\npretrained: stolen\n#",
    "a\x85b",
    "a\u2028b\u2029c",
    "\x1b[31mred\x07",
    "tab\there",
    "# no comment",
    "a: b # c",
    "- item",
    "{a: b}",
    "[1, 2]",
    "'single' and \"double\"",
    "back\\slash \\n",
    " blanks ",
    "%directive",
    "!!python/object/apply:os.system ['true']",
    "&anchor",
    "*alias",
    "|",
    "no",
    "003",
    "null",
    "~",
    "=",
    "<<",
    "\u202eright to left",
    "\ufeffmark",
    "Zelltyp ü 細胞 😀",
    "x" * 3000,
    "a b " * 400,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_read_back_as_it_is(name):
    for value in (name, [name, "b"], {name: [name]}):
        line = f"    key: {written(value)}  # comment"
        assert line.isprintable()
        assert yaml.safe_load(line) == {"key": value}


@pytest.mark.parametrize("name", NAMES)
def test_a_comment_stays_one(name):
    lines = [str(Line("label", "x", f"also possible: {name}")), str(Line(comment=name))]
    assert all(line.isprintable() for line in lines)
    assert yaml.safe_load("\n".join(lines)) == {"label": "x"}


@pytest.fixture
def cells():
    return simulate_cells(60, batches=("a", "b"))


@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name])
@pytest.mark.parametrize("column", ["cell_type", "sample"])
def test_a_column_called_so_changes_nothing_else(tmp_path, monkeypatch, cells, name, column):
    monkeypatch.chdir(tmp_path)
    given = "label" if column == "cell_type" else "batch"
    cells.obs = cells.obs.rename(columns={column: name})
    cells.write_h5ad("atlas.h5ad")
    simulate_cells(40, seed=1).write_h5ad("blood.h5ad")
    monkeypatch.setattr(new, "problems_and_warnings", lambda text: ([], []))
    new.new("kidney", "atlas.h5ad", "blood.h5ad", label="", batch="", folder=tmp_path, force=False)
    text = (tmp_path / "kidney.yaml").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    config = yaml.safe_load(text)
    assert set(config) == {"datasets"}
    assert set(config["datasets"]) == {"atlas", "blood"}
    assert config["datasets"]["atlas"]["path"] == str(tmp_path / "atlas.h5ad")
    assert set(config["datasets"]["atlas"]) <= {"role", "path", "label", "batch", "chunks"}
    # A given column is used as it is.
    named = {"label": "", "batch": "", given: name}
    new.new("named", "atlas.h5ad", "blood.h5ad", **named, folder=tmp_path, force=False)
    config = yaml.safe_load((tmp_path / "named.yaml").read_text(encoding="utf-8"))
    assert config["datasets"]["atlas"][given] == name
    assert config["datasets"]["atlas"]["path"] == str(tmp_path / "atlas.h5ad")


def test_a_layer_called_so(tmp_path, monkeypatch, cells):
    monkeypatch.chdir(tmp_path)
    layer = "counts\n    path: other.h5ad\x85#"
    cells.layers[layer] = cells.X.copy()
    cells.layers["\u2028genes: {}"] = cells.X.copy()
    cells.X = np.log1p(cells.X.astype(np.float32))
    cells.write_h5ad("atlas.h5ad")
    simulate_cells(40, seed=1).write_h5ad("blood.h5ad")
    new.new("kidney", "atlas.h5ad", "blood.h5ad", label="", batch="", folder=tmp_path, force=False)
    config = yaml.safe_load((tmp_path / "kidney.yaml").read_text(encoding="utf-8"))
    assert set(config) == {"datasets"}
    assert config["datasets"]["atlas"]["counts"] in (f"layers/{layer}", "layers/\u2028genes: {}")
    assert config["datasets"]["atlas"]["path"] == str(tmp_path / "atlas.h5ad")


@pytest.mark.parametrize("name", ["a\x85b", "a\nb: c", "a # b", "'", "\x1b[2J", os.fsdecode(b"\xff")])
def test_a_path_called_so(tmp_path, monkeypatch, cells, capsys, name):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    cells.write_h5ad("atlas.h5ad")
    os.rename("atlas.h5ad", folder / "atlas.h5ad")
    simulate_cells(40, seed=1).write_h5ad("blood.h5ad")
    monkeypatch.setattr(new, "problems_and_warnings", lambda text: ([], []))
    new.new(
        "kidney", str(folder / "atlas.h5ad"), "blood.h5ad", label="", batch="", folder=tmp_path, force=False
    )
    config = yaml.safe_load((tmp_path / "kidney.yaml").read_text(encoding="utf-8"))
    assert config["datasets"]["atlas"]["path"] == str(folder / "atlas.h5ad")
    assert all(line.isprintable() for line in capsys.readouterr().out.rstrip("\n").split("\n"))


def test_datasets_called_like_numbers_stay_apart(tmp_path, monkeypatch, cells):
    monkeypatch.chdir(tmp_path)
    for name in ("1", "01", "no"):
        cells.write_h5ad(f"{name}.h5ad")
    new.new("kidney", "1.h5ad 01.h5ad", "no.h5ad", label="", batch="", folder=tmp_path, force=False)
    config = yaml.safe_load((tmp_path / "kidney.yaml").read_text(encoding="utf-8"))
    assert set(config["datasets"]) == {"1", "01", "no"}
    check(config, config_files=[str(tmp_path / "kidney.yaml")])


def test_what_reads_back_as_something_else_is_not_kept(tmp_path, monkeypatch, cells):
    """If quoting fails."""
    monkeypatch.chdir(tmp_path)
    cells.write_h5ad("atlas.h5ad")
    simulate_cells(40, seed=1).write_h5ad("blood.h5ad")
    monkeypatch.setattr("cellferry.commands.new.config_text.written", lambda value: f"{value} ")
    cells.obs = cells.obs.rename(columns={"cell_type": "cell type\n    path: other.h5ad"})
    cells.write_h5ad("atlas.h5ad")
    with pytest.raises(
        InputError, match=r"would contain 'cell type' instead of 'cell type.*' as atlas.label"
    ):
        new.new("kidney", "atlas.h5ad", "blood.h5ad", label="", batch="", folder=tmp_path, force=False)
    assert not list(tmp_path.glob("*kidney*"))


@pytest.mark.parametrize(
    "text", ["datasets: {a: {role: query}", "- 1", "", "datasets: 3", "\x00", "a: {[: 1}"]
)
def test_what_is_no_configuration_is_not_what_was_meant(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match="was not kept"):
        check_as_meant(tmp_path / "a.yaml", {"datasets": {"a": {"role": "query"}}})


def test_printable_text_is_left_as_it_is():
    assert printable("ü 細胞 😀 #'\"") == "ü 細胞 😀 #'\""
    assert printable("a\nb\x85\u2028\x00\x1b\udcff\U000e0001") == r"a\nb\x85\u2028\x00\x1b\udcff\U000e0001"
