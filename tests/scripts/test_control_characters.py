"""Names with control characters are refused by inspect_dataset, with the place and the way out."""

import numpy as np
import pandas as pd
import pytest
from cellferry.core.text import CONTROLS, first_control
from cellferry.errors import InputError
from cellferry.labels.tables import read_parents, read_renames
from inspecting import inspect, make_adata, only_problem

STRANGE = ["\x01", "\x08", "\x1b", "\x7f", "\x92", "\ufffe", "\uffff"]


@pytest.fixture
def cells():
    return make_adata()


def written(cells, folder):
    cells.write_h5ad(folder / "blood.h5ad")
    return folder / "blood.h5ad"


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("role", ["reference", "query"])
def test_a_label(cells, tmp_path, strange, role):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"T": f"T{strange}cell"})
    said = only_problem(inspect(written(cells, tmp_path), label="cell_type", role=role))
    assert said.startswith("datasets.blood.label: the obs column 'cell_type' of ")
    assert str(tmp_path / "blood.h5ad") in said
    assert f"which holds a control character (U+{ord(strange):04X}); give it another name in the file" in said
    assert said.isprintable()


def test_a_label_that_is_renamed_is_taken(cells, tmp_path):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"T": "T\x01"})
    labels = {"rename": {"T\x01": "T cell"}}
    found = inspect(written(cells, tmp_path), label="cell_type", labels=labels)
    assert found.problems == []
    assert found.labels == {"T cell": 20, "B": 10}


def test_blanks_of_labels_are_brought_together_as_before(cells, tmp_path):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories(
        {"T": "T\n\tcell\u2028", "B": "B\x85"}
    )
    found = inspect(written(cells, tmp_path), label="cell_type")
    assert found.problems == []
    assert found.labels == {"T cell": 20, "B": 10}


def test_a_coarser_label(cells, tmp_path):
    cells.obs["above"] = cells.obs["cell_type"].cat.rename_categories({"T": "lymphoid\x02"})
    said = only_problem(inspect(written(cells, tmp_path), label="cell_type", levels=["above"]))
    assert said.startswith("datasets.blood.levels: the obs column 'above' of ")
    assert r"'lymphoid\x02', which holds a control character (U+0002)" in said


@pytest.mark.parametrize("strange", [*STRANGE, "\n", "\t", "\u2028"])
def test_a_batch(cells, tmp_path, strange):
    cells.obs["donor"] = cells.obs["donor"].cat.rename_categories({"d2": f"d{strange}2"})
    said = only_problem(inspect(written(cells, tmp_path), batch="donor"))
    assert said.startswith("datasets.blood.batch: the obs column 'donor' of ")
    assert said.endswith("give it another name in the file")


@pytest.mark.parametrize("strange", [*STRANGE, "\n", "\t", "\u2028"])
def test_a_barcode(cells, tmp_path, strange):
    cells.obs_names = [f"cell{strange}{n}" if n == 6 else f"cell{n}" for n in range(50)]
    said = only_problem(inspect(written(cells, tmp_path)))
    assert f"blood.h5ad: cell 7 is named 'cell{strange.encode('unicode_escape').decode()}6'" in said


@pytest.mark.parametrize("strange", STRANGE)
def test_a_gene(cells, tmp_path, strange):
    cells.var_names = [f"G{strange}{n}" if n == 2 else f"G{n}" for n in range(30)]
    assert "blood.h5ad: gene 3 is named 'G" in only_problem(inspect(written(cells, tmp_path)))


def test_a_description_of_genes_may_have_several_lines(cells, tmp_path):
    cells.var["about"] = [f"line\n{number}" for number in range(30)]
    assert inspect(written(cells, tmp_path)).problems == []


@pytest.mark.parametrize("place", ["features", "barcodes"])
def test_nul_in_an_mtx_folder(tmp_path, place):
    folder = tmp_path / "mtx"
    folder.mkdir()
    names = {"features": [f"ENSG{n:011d}\tS{n}\tGene Expression" for n in range(3)], "barcodes": ["a", "b"]}
    names[place][1] = names[place][1].replace("S1", "S\x001").replace("b", "b\x00")
    (folder / "matrix.mtx").write_text(
        "%%MatrixMarket matrix coordinate integer general\n3 2 3\n1 1 5\n2 1 3\n3 2 4\n"
    )
    for name, lines in names.items():
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    said = " ".join(inspect(folder).problems)
    assert "which holds a control character (U+0000)" in said
    assert ("gene 2 is named 'S" if place == "features" else r"cell 2 is named 'b\x00'") in said


def test_nul_in_a_table_of_labels(cells, tmp_path):
    path = written(cells, tmp_path)
    lines = [f"cell{n},{'T' if n else chr(0)}x\n" for n in range(50)]
    (tmp_path / "obs.csv").write_text("cell,type\n" + "".join(lines))
    problems = inspect(path, obs=tmp_path / "obs.csv", label="type").problems
    assert len(problems) == 1
    assert "U+0000" in problems[0] or "NUL" in problems[0]


def test_names_of_columns(cells, tmp_path):
    cells.obs["do\x01nor"] = cells.obs["donor"]
    said = only_problem(inspect(written(cells, tmp_path), keep_obs=["do\x01nor"]))
    assert said.startswith(
        r"datasets.blood.keep_obs: is 'do\x01nor', which holds a control character (U+0001)"
    )


@pytest.mark.parametrize("read", [read_renames, read_parents])
def test_names_that_the_configuration_gives(read):
    with pytest.raises(InputError, match=r"value of 'a' is 'b\\x01', which holds a control character"):
        read({"a": "b\x01"})


def test_the_first_of_many_is_found():
    names = np.array([f"cell ü{n}\xa0" for n in range(1000)], dtype=object)
    assert first_control(names) is None
    names[700:] = "x\x00"
    assert first_control(names).number == 701
    assert first_control([]) is None
    every = [chr(code) for code in range(0x300) if CONTROLS.search(chr(code))]
    assert all(first_control(["a", one]).character == one for one in every)
    assert len(every) == 65


def test_names_of_all_scripts_are_taken(cells, tmp_path):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"T": "T細胞 😀 é", "B": "=B+@"})
    cells.obs_names = [f"клетка {n}\u200b" for n in range(50)]
    found = inspect(written(cells, tmp_path), label="cell_type")
    assert found.problems == []
    assert found.labels == {"T細胞 😀 é": 20, "=B+@": 10}


def test_cells_that_are_filtered_out_may_be_called_anything(cells, tmp_path):
    cells.obs_names = [f"cell\x01{n}" if n == 6 else f"cell{n}" for n in range(50)]
    cells.obs["qc"] = ["bad" if n == 6 else "ok" for n in range(50)]
    path = written(cells, tmp_path)
    assert inspect(path, cells={"qc": ["ok"]}).problems == []
    assert "cell 7 is named" in only_problem(inspect(path, cells={"qc": ["ok", "bad"]}))


def test_ends_of_lines_of_windows_are_no_part_of_names(tmp_path):
    folder = tmp_path / "mtx"
    folder.mkdir()
    (folder / "features.tsv").write_bytes(b"ENSG1\tS1\tGene Expression\r\nENSG2\tS2\tGene Expression\r\n")
    (folder / "barcodes.tsv").write_bytes(b"a\r\nb\r\n")
    (folder / "matrix.mtx").write_bytes(
        b"%%MatrixMarket matrix coordinate integer general\r\n2 2 2\r\n1 1 5\r\n2 2 3\r\n"
    )
    assert inspect(folder).problems == []


def test_missing_values_beside_gene_names(cells, tmp_path):
    cells.var["symbol"] = pd.Categorical([None, *[f"S{n}" for n in range(29)]])
    assert inspect(written(cells, tmp_path)).problems == []


@pytest.mark.parametrize("column", [".", "/X", "/uns/cellferry"])
def test_columns_that_hdf5_takes_for_paths(cells, tmp_path, column):
    path = written(cells, tmp_path)
    lines = [f"cell{n},x\n" for n in range(50)]
    (tmp_path / "obs.csv").write_text(f"cell,{column}\n" + "".join(lines))
    said = only_problem(inspect(path, obs=tmp_path / "obs.csv", keep_obs=[column]))
    assert said.startswith(
        f"datasets.blood.keep_obs: '{column}' cannot name a column in HDF5, which takes it"
    )
