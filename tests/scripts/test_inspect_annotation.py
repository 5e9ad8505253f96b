"""inspect_dataset: labels, levels, annotation tables, and the filter of cells."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellferry.features.subset import TOTALS
from inspecting import N_CELLS, inspect, make_adata, only_problem


@pytest.fixture
def blood(tmp_path):
    make_adata().write_h5ad(tmp_path / "blood.h5ad")
    return tmp_path / "blood.h5ad"


def test_columns_that_do_not_exist(blood):
    found = inspect(blood, label="celltype", batch="doner", cells={"qc": ["ok"]}, keep_obs=["age"])
    assert len(found.problems) == 4
    first = found.problems[0]
    for part in ("datasets.blood.label", str(blood), "'celltype'", "did you mean 'cell_type'?", "donor"):
        assert part in first
    assert "did you mean 'donor'?" in found.problems[1]
    assert found.problems[2].startswith("datasets.blood.cells.qc")
    assert found.problems[3].startswith("datasets.blood.keep_obs")


def test_column_that_the_workflow_writes_itself(blood):
    assert "keep_obs: 'batch' is the name of a column" in only_problem(inspect(blood, keep_obs=["batch"]))


def test_column_that_the_workflow_writes_beside_a_model_of_celltypist(blood, tmp_path):
    lines = "".join(f"cell{n},7\n" for n in range(50))
    (tmp_path / "obs.csv").write_text(f"cell,{TOTALS}\n{lines}")
    said = only_problem(inspect(blood, obs=tmp_path / "obs.csv", keep_obs=[TOTALS]))
    assert f"keep_obs: '{TOTALS}' is the name of a column that the workflow writes itself" in said


def test_a_column_that_the_table_lacks_is_told_with_its_table(blood, tmp_path):
    (tmp_path / "obs.csv").write_text("cell,type\n" + "".join(f"cell{i},B\n" for i in range(50)))
    said = only_problem(inspect(blood, obs=tmp_path / "obs.csv", label="celltype"))
    assert f"blood.h5ad with {tmp_path / 'obs.csv'} has no obs column 'celltype'" in said


def test_reference_without_label(blood):
    assert only_problem(inspect(blood, role="reference")).startswith(
        "datasets.blood.label: a reference needs"
    )


@pytest.mark.parametrize("role", ["reference", "query"])
def test_label_column_without_values(blood, role):
    problem = only_problem(inspect(blood, role=role, label="empty"))
    assert problem.startswith("datasets.blood.label: the obs column 'empty'")
    assert str(blood) in problem


def test_label_column_full_of_missing_values(blood):
    problem = only_problem(inspect(blood, role="reference", label="mostly_empty"))
    assert "40 of the 50 cells" in problem
    assert "datasets.blood.label" in problem


def test_one_label_after_the_filter(blood):
    """Not refused here: another reference may have more."""
    found = inspect(blood, role="reference", label="cell_type", cells={"cell_type": ["B"]})
    assert found.problems == []
    assert found.cells_kept == 10
    assert found.labels == {"B": 10}


def test_spellings_of_missing_labels_are_said_and_others_brought_together(blood):
    found = inspect(blood, label="cell_type", labels={"rename": {"T": "T cell"}})
    assert found.labels == {"T cell": 20, "B": 10}
    missing, renamed = found.warnings
    assert "count as no label (labels.missing): 'nan' (10 cells)" in missing
    assert "'T' is 'T cell' (20 cells)" in renamed
    assert inspect(blood, label="cell_type", labels={"missing": []}).labels["nan"] == 10


def test_a_column_that_holds_nothing_but_words_for_no_label(tmp_path):
    adata = make_adata()
    adata.obs["ct"] = pd.Categorical(
        ["nan", "None", "Unknown", " n/a", ""] * 10,
        categories=[
            "nan",
            "None",
            "Unknown",
            " n/a",
            "",
            "never used",
        ],
    )
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = inspect(tmp_path / "a.h5ad", role="reference", label="ct")
    assert "has no value for any cell" in only_problem(found)
    assert found.labels == {}
    assert "'Unknown' (10 cells)" in found.warnings[0]


def write_levels(tmp_path, **columns):
    adata = make_adata()
    adata.obs["ct"] = ["CD4", "CD8", "Mono", "Mast", "CD4"] * 10
    for name, of in columns.items():
        adata.obs[name] = pd.Categorical([of.get(label) for label in adata.obs["ct"]])
    adata.obs["half"] = adata.obs["lineage"].where(np.arange(N_CELLS) % 2 == 0)
    adata.write_h5ad(tmp_path / "a.h5ad")
    return tmp_path / "a.h5ad"


def test_levels(tmp_path):
    """Coarsest first; a value missing in some cells of a label is that of its other cells."""
    lineage = {"CD4": "T cell", "CD8": "T cell", "Mono": "myeloid"}
    compartment = {"CD4": "lymphoid", "CD8": "lymphoid", "Mono": "other", "Mast": "nan"}
    path = write_levels(tmp_path, lineage=lineage, compartment=compartment)
    found = inspect(path, role="reference", label="ct", levels=["half", "compartment"])
    assert found.problems == []
    assert found.hierarchy.levels == ["compartment", "half"]
    above = {label: [compartment[label], of] for label, of in lineage.items()}
    assert found.hierarchy.nodes == above | {"Mast": [None, None]}


def test_a_label_below_two_parents(tmp_path):
    path = write_levels(tmp_path, lineage={"CD4": "T cell", "Mono": "myeloid"})
    adata = ad.read_h5ad(path)
    adata.obs["lineage"] = adata.obs["lineage"].astype(object)
    adata.obs.iloc[:3, adata.obs.columns.get_loc("lineage")] = "blood"
    adata.write_h5ad(path)
    problem = only_problem(inspect(path, role="reference", label="ct", levels=["lineage"]))
    assert problem.startswith("datasets.blood.levels: a label must have one value in 'lineage'")
    assert "'CD4' (T cell: 19 cells, blood: 1 cells)" in problem
    assert "'Mono' (myeloid: 9 cells, blood: 1 cells)" in problem


def test_levels_that_are_no_tree(tmp_path):
    lineage = {"CD4": "T cell", "CD8": "T cell"}
    path = write_levels(tmp_path, lineage=lineage, above={"CD4": "lymphoid", "CD8": "myeloid"})
    problem = only_problem(inspect(path, role="reference", label="ct", levels=["lineage", "above"]))
    assert "'T cell' of 'lineage' is below 'lymphoid' of 'above' in cells of 'CD4'" in problem


def test_a_level_that_does_not_exist(blood):
    problem = only_problem(inspect(blood, role="reference", label="cell_type", levels=["donors"]))
    assert problem.startswith("datasets.blood.levels")
    assert "did you mean 'donor'?" in problem


LETTERS = ["γδ T", "CD4+/CD25+", "B, naive", "NK\tbright", "NK\nbright", "NK  bright ", "β / α"]


def test_labels_of_any_letters(tmp_path):
    adata = make_adata()[:42].copy()
    adata.obs["ct"] = pd.Categorical(LETTERS * 6)
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = inspect(tmp_path / "a.h5ad", role="reference", label="ct")
    assert found.problems == []
    assert found.labels == {"NK bright": 18, "γδ T": 6, "CD4+/CD25+": 6, "B, naive": 6, "β / α": 6}
    (renamed,) = found.warnings
    assert r"'NK\tbright' is 'NK bright' (6 cells)" in renamed


def test_a_label_that_reads_like_a_prediction_set(tmp_path):
    adata = make_adata()
    adata.obs["ct"] = ["T | NK", "B"] * 25
    adata.write_h5ad(tmp_path / "a.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad", role="reference", label="ct"))
    assert "the label 'T | NK'" in problem
    assert "labels.rename" in problem
    renamed = {"rename": {"T | NK": "T or NK"}}
    assert inspect(tmp_path / "a.h5ad", role="reference", label="ct", labels=renamed).problems == []


def test_real_labels_with_words_for_none(test_data, tmp_path):
    """The Human Lung Cell Atlas: 'None' at missing levels, and Greek letters."""
    path = test_data / "formats" / "h5ad" / "hlca_Krasnow_2020_100genes.h5ad"
    obs = ad.read_h5ad(path, backed="r").obs

    def found(label, levels):
        return inspect(tmp_path / "a", files=str(path), role="reference", label=label, levels=levels)

    fourth = found("ann_level_4", [])
    assert fourth.labels == obs["ann_level_4"].value_counts()[lambda n: n > 0].drop("None").to_dict()
    assert "'None' (104 cells)" in fourth.warnings[0]
    finest = found("ann_finest_level", ["ann_level_4", "ann_level_3", "ann_level_2", "ann_level_1"])
    assert finest.problems == []
    assert finest.labels["Alveolar Mφ CCL3+"] == 39
    assert finest.hierarchy.levels == [f"ann_level_{n}" for n in (1, 2, 3, 4)]
    pairs = obs[["ann_finest_level", "ann_level_2"]].drop_duplicates().astype(str)
    found = {label: finest.hierarchy.node(label, "ann_level_2") for label in finest.hierarchy.nodes}
    assert found == dict(pairs.to_numpy().tolist())


def test_a_table_of_renames_with_a_header(blood, tmp_path):
    (tmp_path / "names.csv").write_text("spelling,label\nB,B cell\n,\nT,T cell\n")
    found = inspect(blood, labels={"rename": str(tmp_path / "names.csv")}, label="cell_type")
    assert found.named == {"labels.rename": {"B": True, "T": True}}
    assert set(found.labels) == {"B cell", "T cell"}


def test_renames_that_were_found_are_noted(blood):
    labels = {"rename": {"B": "B cell", "t": "T cell", "d1": "x"}}
    assert inspect(blood, labels=labels).named == {"labels.rename": {}}
    found = inspect(blood, labels=labels, label="cell_type")
    assert found.named == {"labels.rename": {"B": True, "t": False, "d1": False}}
    adata = make_adata()
    adata.obs["level"] = adata.obs["cell_type"].map({"B": "d1", "T": "t"})
    adata.write_h5ad(blood)
    found = inspect(blood, labels=labels, label="cell_type", levels=["level"], role="reference")
    assert found.named == {"labels.rename": {"B": True, "t": True, "d1": True}}


def test_annotation_table(tmp_path):
    (tmp_path / "a.csv").write_text(",ENSG00000000001,ENSG00000000002\nc1,1,0\nc2,3,1\n")
    (tmp_path / "obs.csv").write_text("name,ct\nc1,B\nc2,T\n")
    found = inspect(tmp_path / "a.csv", obs=tmp_path / "obs.csv", role="reference", label="ct")
    assert found.problems == []
    assert found.labels == {"B": 1, "T": 1}
    missing = only_problem(inspect(tmp_path / "a.csv", role="reference", label="ct"))
    assert "it has no columns; set datasets.blood.obs" in missing
    (tmp_path / "obs.csv").write_text("name,ct\nx1,B\nx2,T\n")
    other = only_problem(inspect(tmp_path / "a.csv", obs=tmp_path / "obs.csv", label="ct"))
    assert "names none of the 2 cells" in other


@pytest.mark.parametrize(
    ("named", "settings", "problem", "warning"),
    [
        (50, {}, None, None),
        (46, {}, None, None),
        (44, {}, None, "names 44 of 50 cells; the others are used without annotation"),
        (25, {}, None, "names 25 of 50 cells"),
        (24, {}, "names 24 of the 50 cells of", None),
        (1, {}, "if it is not that of another sample, lower datasets.blood.obs_min_common, now 0.5", None),
        (24, {"obs_min_common": 0.4}, None, "names 24 of 50 cells"),
        (1, {"obs_min_common": 0}, None, "names 1 of 50 cells"),
        (0, {"obs_min_common": 0}, "names none of the 50 cells of", None),
        (45, {"obs_min_common": 1}, "names 45 of the 50 cells of", None),
    ],
)
def test_an_annotation_table_must_be_that_of_the_cells(blood, capsys, named, settings, problem, warning):
    """A few barcodes of another sample are the same by chance."""
    names = [f"cell{i}" for i in range(named)] + [f"other{i}" for i in range(50 - named)]
    table = blood.parent / "obs.csv"
    table.write_text("cell,plate\n" + "".join(f"{name},p{i % 2}\n" for i, name in enumerate(names)))
    found = inspect(blood, obs=table, batch="plate", **settings)
    assert (problem in only_problem(found)) if problem else found.problems == []
    assert any(warning in one for one in found.warnings) if warning else not found.warnings
    if named >= 45 and not problem:
        assert f"obs.csv: names {named} of 50 cells" in capsys.readouterr().out


def test_each_of_several_tables_must_be_that_of_its_file(tmp_path):
    for plate in "ab":
        make_adata().write_h5ad(tmp_path / f"{plate}.h5ad")
        names = [f"{'cell' if plate == 'a' else 'other'}{i}" for i in range(49)]
        lines = "".join(f"{name},x\n" for name in [*names, "cell49"])
        (tmp_path / f"{plate}.csv").write_text("cell,donor\n" + lines)
    found = inspect(tmp_path / "*.h5ad", obs=tmp_path / "*.csv", batch="donor")
    assert "b.csv (datasets.blood.obs): names 1 of the 50 cells" in only_problem(found)


@pytest.mark.parametrize("key", ["batch", "keep_obs", "label", "cells"])
def test_the_files_own_column_sample(tmp_path, key):
    """`sample` is the file if a dataset has several files, else the file's own column."""
    for name in ("a", "b"):
        adata = make_adata()
        adata.obs["sample"] = [f"{name}{i % 5}" for i in range(N_CELLS)]
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    one = {"keep_obs": ["sample"], "cells": {"sample": ["a0"]}}.get(key, "sample")
    several = {"cells": {"sample": ["a"]}}.get(key, one)
    found = inspect(tmp_path / "a.h5ad", **{key: one})
    assert (found.problems, found.warnings) == ([], [])
    assert found.cells_kept == (10 if key == "cells" else 50)
    assert found.n_batches == (5 if key == "batch" else 1)
    found = inspect(tmp_path / "*.h5ad", **{key: several})
    assert found.problems == []
    assert found.cells_kept == (50 if key == "cells" else 100)
    assert found.n_batches == (2 if key == "batch" else 1)
    assert "the files' obs column 'sample' is left out" in " ".join(found.warnings)


def test_no_cells_left(blood):
    problem = only_problem(inspect(blood, cells={"donor": ["d9"]}))
    assert problem.startswith("datasets.blood.cells.donor: fits no value of the obs column 'donor' of ")
    assert problem.endswith("blood.h5ad (d1, d2): 'd9'; correct it or take it out")


@pytest.mark.parametrize(
    ("values", "problem", "warning"),
    [
        (["d1", "d2"], False, False),
        (["d1", "D2", "d3"], False, True),
        (["D2", "d3"], True, False),
        ([1, True, "d1"], False, True),
    ],
)
def test_values_of_a_filter_that_no_cell_has(blood, values, problem, warning):
    found = inspect(blood, cells={"donor": values})
    assert len(found.problems) == problem
    assert len(found.warnings) == warning
    said = " ".join(found.problems + found.warnings)
    assert ("datasets.blood.cells.donor: " in said) == (problem or warning)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("dose", ["0.50", 1.0], 2),  # text is text
        ("dose", [0.5, 1], 4),
        ("flag", ["no", True], 5),
        ("flag", ["no"], 2),
        ("flag", ["ON"], 3),
        ("answer", ["no"], 2),
        ("answer", [False], 0),
    ],
)
def test_values_of_a_filter_fit_numbers_and_booleans(tmp_path, column, values, expected):
    adata = make_adata()[:5].copy()
    adata.obs["dose"] = [0.5, 0.5, 1.0, 1.0, 2.0]
    adata.obs["flag"] = [True, False, True, False, True]
    adata.obs["answer"] = ["yes", "no", "yes", "no", "yes"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert inspect(tmp_path / "a.h5ad", cells={column: values}).cells_kept == expected


def test_values_that_no_cell_has_together(blood):
    adata = make_adata()
    adata.obs["plate"] = adata.obs["donor"].map({"d1": "p1", "d2": "p2"})
    adata.write_h5ad(blood)
    problem = only_problem(inspect(blood, cells={"donor": ["d1"], "plate": ["p2"]}))
    assert problem.startswith("datasets.blood.cells: none of the 50 cells")
