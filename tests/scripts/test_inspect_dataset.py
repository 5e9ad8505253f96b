"""inspect_dataset: facts about a dataset, and refusals of columns and labels that cannot be used."""

import json

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cellferry.config.schema import load_schema
from inspect_dataset import inspect_dataset
from scipy import sparse
from simulate import label_names, simulate_events, write_samples

N_CELLS, N_GENES = 50, 30
DEFAULTS = {
    key: value["default"]
    for key, value in load_schema()["$defs"]["dataset"]["properties"].items()
    if "default" in value
}


def make_adata():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(N_CELLS, N_GENES)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["B", "T", "T", "nan", None] * 10),
            "empty": pd.Categorical([None] * N_CELLS, categories=["B"]),
            "mostly_empty": pd.Categorical([*[None] * 40, *["B", "T"] * 5]),
            "donor": pd.Categorical(["d1", "d2"] * 25),
            "batch": "x",
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(
        {"symbol": [f"S{i}" for i in range(N_GENES)], "number": [str(i) for i in range(N_GENES)]},
        index=[f"ENSG{i:011d}" for i in range(N_GENES)],
    )
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=var)


@pytest.fixture
def blood(tmp_path):
    make_adata().write_h5ad(tmp_path / "blood.h5ad")
    return tmp_path / "blood.h5ad"


def inspect(path, *, files=None, obs=None, role="query", labels=None, **config):
    settings = {**DEFAULTS, "role": role, "path": files or str(path), "obs": obs and str(obs), **config}
    found = path.parent / "found.json"
    inspect_dataset(str(found), name="blood", config=settings, label_names=label_names(**labels or {}))
    return json.loads(found.read_text())


def only_problem(found):
    assert len(found["problems"]) == 1, found["problems"]
    return found["problems"][0]


def test_what_is_in_a_file(blood):
    found = inspect(blood, role="reference", label="cell_type", batch="donor", keep_obs=["empty"])
    assert found["problems"] == []
    expected = {
        "format": "h5ad",
        "cells": N_CELLS,
        "genes": N_GENES,
        "nonzeros": make_adata().X.nnz,
        "dtype": "float32",
        "storage": "csr",
        "counts": "X",
        "gene_id": "ensembl",
        "gene_id_columns": {"symbol": "symbol", "number": "other"},
        "duplicated_genes": 0,
        "duplicated_cells": 0,
        "cells_kept": N_CELLS,
        "labels": {"T": 20, "B": 10},
        "unlabelled_cells": 20,
        "levels": [],
        "batches": {"d1": 25, "d2": 25},
    }
    assert {key: found[key] for key in expected} == expected


def test_columns_that_do_not_exist(blood):
    found = inspect(blood, label="celltype", batch="doner", cells={"qc": ["ok"]}, keep_obs=["age"])
    assert len(found["problems"]) == 4
    first = found["problems"][0]
    for part in ("datasets.blood.label", str(blood), "'celltype'", "did you mean 'cell_type'?", "donor"):
        assert part in first
    assert "did you mean 'donor'?" in found["problems"][1]
    assert found["problems"][2].startswith("datasets.blood.cells.qc")
    assert found["problems"][3].startswith("datasets.blood.keep_obs")


def test_column_that_the_workflow_writes_itself(blood):
    assert "keep_obs: 'batch' is the name of a column" in only_problem(inspect(blood, keep_obs=["batch"]))


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
    assert found["problems"] == []
    assert found["cells_kept"] == 10
    assert found["labels"] == {"B": 10}


def test_spellings_of_missing_labels_are_said_and_others_brought_together(blood):
    found = inspect(blood, label="cell_type", labels={"rename": {"T": "T cell"}})
    assert found["labels"] == {"T cell": 20, "B": 10}
    missing, renamed = found["warnings"]
    assert "count as no label (labels.missing): 'nan' (10 cells)" in missing
    assert "'T' is 'T cell' (20 cells)" in renamed
    assert inspect(blood, label="cell_type", labels={"missing": []})["labels"]["nan"] == 10


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
    assert found["labels"] == {}
    assert "'Unknown' (10 cells)" in found["warnings"][0]


def write_levels(tmp_path, **columns):
    adata = make_adata()
    adata.obs["ct"] = ["CD4", "CD8", "Mono", "Mast", "CD4"] * 10
    for name, of in columns.items():
        adata.obs[name] = pd.Categorical([of.get(label) for label in adata.obs["ct"]])
    adata.obs["half"] = adata.obs["lineage"].where(np.arange(N_CELLS) % 2 == 0)
    adata.write_h5ad(tmp_path / "a.h5ad")
    return tmp_path / "a.h5ad"


def test_levels(tmp_path):
    """Coarsest first; a value that some cells of a label lack is that of the others."""
    lineage = {"CD4": "T cell", "CD8": "T cell", "Mono": "myeloid"}
    compartment = {"CD4": "lymphoid", "CD8": "lymphoid", "Mono": "other", "Mast": "nan"}
    path = write_levels(tmp_path, lineage=lineage, compartment=compartment)
    found = inspect(path, role="reference", label="ct", levels=["half", "compartment"])
    assert found["problems"] == []
    del compartment["Mast"]
    assert found["levels"] == [{"name": "compartment", "of": compartment}, {"name": "half", "of": lineage}]


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
    assert "'T cell' of 'lineage' stands below 'lymphoid' of 'above' in cells of 'CD4'" in problem


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
    assert found["problems"] == []
    assert found["labels"] == {"NK bright": 18, "γδ T": 6, "CD4+/CD25+": 6, "B, naive": 6, "β / α": 6}
    (renamed,) = found["warnings"]
    assert r"'NK\tbright' is 'NK bright' (6 cells)" in renamed


def test_a_label_that_reads_like_a_prediction_set(tmp_path):
    adata = make_adata()
    adata.obs["ct"] = ["T | NK", "B"] * 25
    adata.write_h5ad(tmp_path / "a.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad", role="reference", label="ct"))
    assert "the label 'T | NK'" in problem
    assert "labels.rename" in problem
    renamed = {"rename": {"T | NK": "T or NK"}}
    assert inspect(tmp_path / "a.h5ad", role="reference", label="ct", labels=renamed)["problems"] == []


def test_real_labels_with_words_for_none(test_data, tmp_path):
    """The Human Lung Cell Atlas: 'None' where a level does not reach, and Greek letters."""
    path = test_data / "formats" / "h5ad" / "hlca_Krasnow_2020_100genes.h5ad"
    obs = ad.read_h5ad(path, backed="r").obs

    def found(label, levels):
        settings = {**DEFAULTS, "role": "reference", "path": str(path), "label": label, "levels": levels}
        inspect_dataset(str(tmp_path / "a.json"), name="a", config=settings, label_names=label_names())
        return json.loads((tmp_path / "a.json").read_text())

    fourth = found("ann_level_4", [])
    assert fourth["labels"] == obs["ann_level_4"].value_counts()[lambda n: n > 0].drop("None").to_dict()
    assert "'None' (104 cells)" in fourth["warnings"][0]
    finest = found("ann_finest_level", ["ann_level_4", "ann_level_3", "ann_level_2", "ann_level_1"])
    assert finest["problems"] == []
    assert finest["labels"]["Alveolar Mφ CCL3+"] == 39
    assert [level["name"] for level in finest["levels"]] == [f"ann_level_{n}" for n in (1, 2, 3, 4)]
    pairs = obs[["ann_finest_level", "ann_level_2"]].drop_duplicates().astype(str)
    assert finest["levels"][1]["of"] == dict(pairs.to_numpy().tolist())


def test_reference_without_label(blood):
    assert only_problem(inspect(blood, role="reference")).startswith(
        "datasets.blood.label: a reference needs"
    )


def test_no_cells_left(blood):
    problem = only_problem(inspect(blood, cells={"donor": ["d9"]}))
    assert problem.startswith("datasets.blood.cells.donor: fits no value of the obs column 'donor' of ")
    assert problem.endswith("blood.h5ad (d1, d2): 'd9'; correct it or take it out")


@pytest.mark.parametrize(("rows", "columns", "what"), [(0, 5, "cells"), (5, 0, "genes")])
def test_no_cells_or_genes(tmp_path, rows, columns, what):
    make_adata()[:rows, :columns].copy().write_h5ad(tmp_path / "a.h5ad")
    assert f"a.h5ad: holds no {what}" in " ".join(inspect(tmp_path / "a.h5ad")["problems"])


def test_repeated_names(tmp_path):
    adata = make_adata()
    adata.obs_names = [*adata.obs_names[:-2], "cell1", "cell1"]
    adata.var_names = [*adata.var_names[:-1], adata.var_names[0]]
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = inspect(tmp_path / "a.h5ad")
    assert found["duplicated_genes"] == 1
    assert found["duplicated_cells"] == 2
    problem = only_problem(found)
    assert "a.h5ad: 2 cell name(s) stand more than once, such as 'cell1'; make them differ" in problem


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_broken_file(tmp_path, content):
    (tmp_path / "a.h5ad").write_bytes(content)
    problem = only_problem(inspect(tmp_path / "a.h5ad", label="ct"))
    assert "a.h5ad" in problem
    assert "copy" in problem


def test_missing_file(tmp_path):
    assert "correct the path" in only_problem(inspect(tmp_path / "a.h5ad"))


def test_text_in_a_matrix(tmp_path):
    (tmp_path / "a.csv").write_text(",ENSG00000000001,ENSG00000000002\nc1,1,B cell\n")
    problem = only_problem(inspect(tmp_path / "a.csv"))
    assert "'B cell' in row 'c1', column 'ENSG00000000002' is not a number" in problem


@pytest.mark.parametrize(("value", "diagnosis"), [(np.nan, "missing"), (-1, "negative"), (0.5, "fractional")])
@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_no_counts(tmp_path, value, diagnosis, storage):
    adata = make_adata()
    adata.X.data[5] = value
    adata.X = storage(adata.X.toarray())
    adata.write_h5ad(tmp_path / "a.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad"))
    assert "a.h5ad: X does not hold raw counts" in problem
    assert diagnosis in problem
    assert "export" in problem


def test_counts_elsewhere(tmp_path):
    adata = make_adata()
    adata.layers["umis"] = adata.X.copy()
    adata.X.data += 0.5
    adata.write_h5ad(tmp_path / "a.h5ad")
    problem = only_problem(inspect(tmp_path / "a.h5ad"))
    assert "set datasets.blood.counts to layers/umis" in problem


def test_no_matrix(tmp_path):
    adata = make_adata()
    adata.X = None
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert "a.h5ad: holds no matrix in X, raw or layers" in only_problem(inspect(tmp_path / "a.h5ad"))


def test_two_genomes(test_data, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes((test_data / "formats/10x/1.2.0/multiple_genomes.h5").read_bytes())
    assert "a.h5: datasets.blood.genome is not set" in only_problem(inspect(path))


def test_annotation_table(tmp_path):
    (tmp_path / "a.csv").write_text(",ENSG00000000001,ENSG00000000002\nc1,1,0\nc2,3,1\n")
    (tmp_path / "obs.csv").write_text("name,ct\nc1,B\nc2,T\n")
    found = inspect(tmp_path / "a.csv", obs=tmp_path / "obs.csv", role="reference", label="ct")
    assert found["problems"] == []
    assert found["labels"] == {"B": 1, "T": 1}
    missing = only_problem(inspect(tmp_path / "a.csv", role="reference", label="ct"))
    assert "it has none; give a table, datasets.blood.obs" in missing
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
    """Barcodes of another sample are the same by chance, a few of them."""
    names = [f"cell{i}" for i in range(named)] + [f"other{i}" for i in range(50 - named)]
    table = blood.parent / "obs.csv"
    table.write_text("cell,plate\n" + "".join(f"{name},p{i % 2}\n" for i, name in enumerate(names)))
    found = inspect(blood, obs=table, batch="plate", **settings)
    assert (problem in only_problem(found)) if problem else found["problems"] == []
    assert any(warning in one for one in found["warnings"]) if warning else not found["warnings"]
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
    """Of several files `sample` is the file; of one it is the file's own column."""
    for name in ("a", "b"):
        adata = make_adata()
        adata.obs["sample"] = [f"{name}{i % 5}" for i in range(N_CELLS)]
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    one = {"keep_obs": ["sample"], "cells": {"sample": ["a0"]}}.get(key, "sample")
    several = {"cells": {"sample": ["a"]}}.get(key, one)
    found = inspect(tmp_path / "a.h5ad", **{key: one})
    assert (found["problems"], found["warnings"]) == ([], [])
    assert found["cells_kept"] == (10 if key == "cells" else 50)
    assert found["n_batches"] == (5 if key == "batch" else 1)
    found = inspect(tmp_path / "*.h5ad", **{key: several})
    assert found["problems"] == []
    assert found["cells_kept"] == (50 if key == "cells" else 100)
    assert found["n_batches"] == (2 if key == "batch" else 1)
    assert "the files' own obs column 'sample' is left out" in " ".join(found["warnings"])


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
    assert len(found["problems"]) == problem
    assert len(found["warnings"]) == warning
    said = " ".join(found["problems"] + found["warnings"])
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
    assert inspect(tmp_path / "a.h5ad", cells={column: values})["cells_kept"] == expected


def test_a_table_of_renames_with_a_header(blood, tmp_path):
    (tmp_path / "names.csv").write_text("spelling,label\nB,B cell\n,\nT,T cell\n")
    found = inspect(blood, labels={"rename": str(tmp_path / "names.csv")}, label="cell_type")
    assert found["named"] == {"labels.rename": {"B": True, "T": True}}
    assert set(found["labels"]) == {"B cell", "T cell"}


def test_text_that_is_not_utf8(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["obs/batch"]
        file["obs"].create_dataset("batch", data=np.array(["Köln".encode("latin-1")] * N_CELLS, dtype="S4"))
    problem = only_problem(inspect(tmp_path / "a.h5ad", batch="batch"))
    assert "a.h5ad: holds text that is not UTF-8 ('Köln', as Latin-1 has it); convert it to UTF-8" in problem


def test_values_that_no_cell_has_together(blood):
    adata = make_adata()
    adata.obs["plate"] = adata.obs["donor"].map({"d1": "p1", "d2": "p2"})
    adata.write_h5ad(blood)
    problem = only_problem(inspect(blood, cells={"donor": ["d1"], "plate": ["p2"]}))
    assert problem.startswith("datasets.blood.cells: none of the 50 cells")


def test_renames_that_were_found_are_noted(blood):
    labels = {"rename": {"B": "B cell", "t": "T cell", "d1": "x"}}
    assert inspect(blood, labels=labels)["named"] == {"labels.rename": {}}
    found = inspect(blood, labels=labels, label="cell_type")
    assert found["named"] == {"labels.rename": {"B": True, "t": False, "d1": False}}
    adata = make_adata()
    adata.obs["level"] = adata.obs["cell_type"].map({"B": "d1", "T": "t"})
    adata.write_h5ad(blood)
    found = inspect(blood, labels=labels, label="cell_type", levels=["level"], role="reference")
    assert found["named"] == {"labels.rename": {"B": True, "t": True, "d1": True}}


def test_only_the_header_is_read(tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["X"]
        x = file.create_group("X")
        n = 10**13
        x.attrs.update(
            {"encoding-type": "csc_matrix", "encoding-version": "0.1.0", "shape": (N_CELLS, N_GENES)}
        )
        for key, dtype in (("data", np.float32), ("indices", np.int64), ("indptr", np.int64)):
            x.create_dataset(key, shape=(n,), dtype=dtype, chunks=(1000,))
    assert inspect(tmp_path / "a.h5ad")["nonzeros"] == n


@pytest.mark.parametrize(
    ("path", "config", "counts"),
    [
        ("pbmc/ref_pbmc3k.h5ad", {"role": "reference", "label": "cell_type"}, "layers/counts"),
        ("pbmc/query_kang_ifnb.h5ad", {"batch": "sample_id"}, "raw"),
        ("formats/10x/3.0.0/filtered_feature_bc_matrix", {}, "matrix"),
    ],
)
def test_real_files(test_data, tmp_path, path, config, counts):
    settings = {**DEFAULTS, "role": "query", "path": str(test_data / path), **config}
    inspect_dataset(str(tmp_path / "a.json"), name="a", config=settings, label_names=label_names())
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["problems"] == []
    assert found["warnings"] == []
    assert found["counts"] == counts


# --- cytometry ------------------------------------------------------------------------------------------


def inspect_events(path, **config):
    return inspect(path, **{"modality": "cytometry", "markers": {}, **config})


@pytest.fixture
def write_fcs(tmp_path):
    """Write events as an FCS file, changed before."""

    def write(events, name="blood", **columns):
        events = events.copy()
        values = events.X.toarray()
        for channel, column in columns.items():
            values[:, events.var_names.get_loc(channel)] = column
        events.X = sparse.csr_matrix(values)
        events.obs["sample"] = pd.Categorical([name] * len(events))
        write_samples(tmp_path, events)
        return tmp_path / f"{name}.fcs"

    return write


def renamed(events, **names):
    events.var["channel"] = [names.get(name, name) for name in events.var["channel"]]
    return events


def test_channels_and_values_of_events(write_fcs):
    events = simulate_events(300)
    found = inspect_events(write_fcs(events))
    assert found["problems"] == found["warnings"] == []
    assert (found["cells"], found["genes"], found["format"]) == (300, 12, "fcs")
    assert found["channels"] == [["Time", "time", "Time"]] + [
        [marker, "marker", marker] for marker in events.var_names[1:-1]
    ] + [["DNA1", "dna", "DNA1"]]  # fmt: skip
    assert found["intensities"]["values"] == "raw"
    assert found["intensities"]["technology"] == "mass"
    assert "there are DNA channels" in found["intensities"]["why"]


def test_what_the_user_says_of_values_and_markers(write_fcs):
    path = write_fcs(simulate_events(300))
    found = inspect_events(
        path, technology="fluorescence", transformed=True, markers={"CD8": None, "cd-3": "TCR"}
    )
    assert found["intensities"]["values"] == "transformed"
    assert found["intensities"]["technology"] == "fluorescence"
    assert found["channels"][1] == ["TCR", "marker", "CD3"]
    assert ["CD8", "other", "CD8"] in found["channels"]


@pytest.mark.parametrize(
    ("change", "kind"), [(lambda x: np.arcsinh(x / 5), "transformed"), (lambda x: x / 1e9 + 0.1, "scaled")]
)
def test_values_that_are_transformed_already(write_fcs, change, kind):
    events = simulate_events(300)
    markers = events.var_names[1:-1]
    values = {name: change(events[:, name].X.toarray().ravel()) for name in markers}
    found = inspect_events(write_fcs(events, **values))
    assert found["intensities"]["values"] == kind
    assert "already" in found["intensities"]["why"]


def test_a_time_among_the_markers(write_fcs):
    """Told by what it does; where the name says so there is nothing to tell."""
    path = write_fcs(renamed(simulate_events(300), Time="Zeit"))
    problem = only_problem(inspect_events(path))
    assert problem.startswith(f"{path}: 'Zeit' rises from event to event, as a time or a number does")
    assert "cytometry.markers that it is none ('Zeit': null), or that it is one ('Zeit': Zeit)" in problem
    for markers in ({"Zeit": None}, {"Zeit": "Zeit"}, {"D0": None}):
        assert inspect_events(path, markers=markers)["problems"] == []
    events = simulate_events(300)
    alike = write_fcs(events, "alike", CD3=7)  # a channel of one value is another thing
    assert inspect_events(alike)["problems"] == []
    few = write_fcs(renamed(simulate_events(99), Time="Zeit"), "few")
    assert inspect_events(few)["problems"] == []


def test_a_time_in_the_second_file(write_fcs, tmp_path):
    events = simulate_events(300)
    write_fcs(events, "a", CD14=events.X[:, 0].toarray()[::-1].ravel())
    write_fcs(events, "b", CD14=np.arange(300))
    found = inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs"))
    assert only_problem(found).startswith(f"{tmp_path}/b.fcs: 'CD14' rises from event to event")


def test_huge_and_negative_values(write_fcs):
    events = simulate_events(300)
    huge = events[:, "CD3"].X.toarray().ravel()
    huge[[3, 7]] = 3e38, -2e9
    found = inspect_events(write_fcs(events, CD3=huge))
    assert found["problems"] == []
    (warning,) = found["warnings"]
    assert "blood.fcs: there are values beyond 1e+08 (CD3); they are cut off where the reference's" in warning
    negative = inspect_events(write_fcs(events, "negative", CD3=-np.abs(huge.clip(-2e5, 2e5))))
    assert negative["problems"] == negative["warnings"] == []
    assert negative["intensities"]["values"] == "raw"


@pytest.mark.parametrize(("value", "said"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("channel", ["CD4", "Time"])
def test_values_that_are_no_numbers(write_fcs, value, said, channel):
    events = simulate_events(300)
    column = events[:, channel].X.toarray().ravel()
    column[5] = value
    problem = only_problem(inspect_events(write_fcs(events, **{channel: column})))
    assert f"does not hold intensities: {said} in cell 'event6', channel '{channel}'; values are" in problem
    assert problem.endswith("intensities are needed: export the file with them")


def test_values_that_are_no_numbers_in_the_second_file(write_fcs, tmp_path):
    events = simulate_events(300)
    column = events[:, "CD4"].X.toarray().ravel()
    column[5] = np.nan
    write_fcs(events, "a")
    write_fcs(events, "b", CD4=column)
    problem = only_problem(inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs")))
    assert problem.startswith(f"{tmp_path}/b.fcs: ")
    assert "nan in cell 'b_event6', channel 'CD4'" in problem


def test_files_of_different_kinds_of_values(write_fcs, tmp_path):
    events = simulate_events(300)
    markers = events.var_names[1:-1]
    write_fcs(events, "a")
    write_fcs(events, "b", **{name: np.arcsinh(events[:, name].X.toarray().ravel() / 5) for name in markers})
    found = inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs"))
    problem = only_problem(found)
    assert problem.startswith(f"{tmp_path}/b.fcs: holds transformed values (values lie between")
    assert f"and {tmp_path}/a.fcs raw ones" in problem
    assert "datasets.blood.transformed" in problem
    assert (
        inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs"), transformed=False)["problems"] == []
    )


def test_channels_without_a_name_and_of_one_name(tmp_path):
    (tmp_path / "blood.csv").write_text("CD3,,CD4\n1.5,2,-3\n")
    assert "channel 2 of 3 has no name; name it, or" in only_problem(inspect_events(tmp_path / "blood.csv"))
    (tmp_path / "blood.csv").write_text("CD45RA,CD4,cd45-ra\n1.5,2,-3\n")
    problem = only_problem(inspect_events(tmp_path / "blood.csv"))
    assert "'CD45RA' and 'cd45-ra' are both called cd45-ra; rename one of them in the file" in problem
    (tmp_path / "blood.csv").write_text("Time,FSC-A\n1.5,2\n")
    assert "none of its channels is a marker's" in only_problem(inspect_events(tmp_path / "blood.csv"))


def test_events_that_are_not_in_order(tmp_path):
    """Channels × events: there are few channels, so the first events are soon found."""
    events = simulate_events(300)
    frame = pd.DataFrame(events.X.toarray().T, index=events.var_names, columns=events.obs_names)
    frame.to_csv(tmp_path / "blood.csv")
    found = inspect_events(tmp_path / "blood.csv", orientation="genes")
    assert found["problems"] == []
    assert not found["in_order"]
    assert [name for name, kind, _ in found["channels"] if kind == "marker"] == list(events.var_names[1:-1])
    assert found["intensities"]["values"] == "raw"


def test_events_of_a_matrix_whose_order_ends_late(tmp_path, monkeypatch):
    """It seems to be sorted by event, and is not."""
    monkeypatch.setattr("cellferry.formats.tenx_mtx.GLANCE_BYTES", 100)
    events = simulate_events(50)
    counts = sparse.coo_matrix(events.X)
    order = np.argsort(counts.row, kind="stable")
    order = np.append(order[1:], order[0])
    folder = tmp_path / "blood"
    folder.mkdir()
    lines = ["%%MatrixMarket matrix coordinate real general", f"12 50 {counts.nnz}"]
    lines += [f"{counts.col[i] + 1} {counts.row[i] + 1} {counts.data[i]}" for i in order]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (folder / "genes.tsv").write_text("".join(f"{name}\t{name}\n" for name in events.var_names))
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in events.obs_names))
    found = inspect_events(folder)
    assert found["problems"] == []
    assert found["intensities"]["values"] == "raw"


def test_labels_by_order(write_fcs, tmp_path):
    path = write_fcs(simulate_events(300))
    config = {"obs_by": "order", "label": "population", "role": "reference"}
    found = inspect_events(path, obs=tmp_path / "blood.csv", **config)
    assert found["problems"] == []
    assert found["labels"] == {"T cell": 100, "B cell": 100, "NK": 100}
    text = (tmp_path / "blood.csv").read_text()
    (tmp_path / "blood.csv").write_text(text.removeprefix("population\n").removeprefix("population\r\n"))
    found = inspect_events(path, obs=tmp_path / "blood.csv", **config)
    assert "has no obs column 'population'; it has: T cell, Time, DNA1" in found["problems"][0]
    said = found["problems"][-1]
    assert "has 299 lines after its header, and" in said
    assert "300 cells; datasets.blood.obs_by is `order`, which takes a header and one line for each" in said
    assert said.endswith("is 'T cell' the first cell's, and no header?")


def test_real_events(test_data, tmp_path):
    """Biexponential values between -1 and 5, as a program exported them."""
    path = tmp_path / "ff.fcs"
    path.write_bytes((test_data / "formats/fcs/ff.fcs").read_bytes())
    found = inspect_events(path)
    assert found["problems"] == found["warnings"] == []
    assert found["intensities"]["values"] == "transformed"
    assert found["intensities"]["technology"] == "fluorescence"
    markers = [name for name, kind, _ in found["channels"] if kind == "marker"]
    assert {"CD3", "CD19", "TCRyd", "NK1/1"} < set(markers)
    assert not {"Time", "FSC-A", "l/d"} & set(markers)
    labels = {"obs_by": "order", "label": "population", "role": "reference"}
    gates = (test_data / "formats/fcs/gating_result.csv").read_text()
    (tmp_path / "gates.csv").write_text(gates)
    said = inspect_events(path, obs=tmp_path / "gates.csv", **labels)["problems"][-1]
    assert said.endswith("is 'CD4 T cells' the first cell's, and no header?")
    (tmp_path / "gates.csv").write_text("population\n" + gates)
    found = inspect_events(path, obs=tmp_path / "gates.csv", **labels)
    assert found["problems"] == []
    assert sum(found["labels"].values()) + found["unlabelled_cells"] == 19225


@pytest.mark.parametrize("name", ["Levine_H1.fcs", "ref_H1_dense.h5ad", "Levine_32dim_H1_unlabelled_raw.csv"])
def test_real_mass_cytometry(test_data, tmp_path, name):
    found = inspect_events(tmp_path / "blood", files=str(test_data / "levine32_cytof" / name))
    assert found["problems"] == found["warnings"] == []
    assert found["intensities"]["values"] == "raw"
    assert found["intensities"]["technology"] == "mass"
    assert sum(kind == "marker" for _, kind, _ in found["channels"]) == 32


@pytest.mark.parametrize("place", ["index", "symbol"])
def test_dates_among_genes(tmp_path, place):
    adata = make_adata()
    if place == "index":
        adata.var_names = ["1-Mar", "2-Sep", "1-Mar", *adata.var_names[3:]]
    else:
        adata.var["symbol"] = ["1-Mar", "2-Sep", *adata.var["symbol"][2:]]
    adata.write_h5ad(tmp_path / "blood.h5ad")
    found = inspect(tmp_path / "blood.h5ad")
    assert found["problems"] == []
    (warning,) = found["warnings"]
    assert "2 gene(s) are called by dates" in warning
    assert "1-Mar (MARCHF1 or MTARC1), 2-Sep (SEPTIN2)" in warning
    assert ("1-Mar stand several times and would be added up" in warning) == (place == "index")


def test_what_was_understood_of_a_table_is_told(tmp_path):
    lines = ["# made by a program", *(f"{name} 1000 3 4 0" for name in ("RPL3", "RPS6"))]
    lines.insert(1, '"Length" "s1" "s2" "s3"')
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    found = inspect(tmp_path / "a.txt")
    assert (found["cells"], found["problems"]) == (3, [])
    assert [warning.partition(": ")[2][:12] for warning in found["warnings"]] == [
        "1 line(s) of",
        "columns are ",
        "column(s) le",
    ]


def test_text_in_a_genes_by_cells_table_is_told_by_its_place(tmp_path):
    lines = [",s1,s2", *(f"{name},1,2" for name in ("RPL3", "RPS6")), "ACTB,1,high"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    assert "line 4: 'high' in row 'ACTB', column 's2' is not a number" in only_problem(
        inspect(tmp_path / "a.csv")
    )


def test_a_column_that_the_table_lacks_is_told_with_its_table(blood, tmp_path):
    (tmp_path / "obs.csv").write_text("cell,type\n" + "".join(f"cell{i},B\n" for i in range(50)))
    said = only_problem(inspect(blood, obs=tmp_path / "obs.csv", label="celltype"))
    assert f"blood.h5ad with {tmp_path / 'obs.csv'} has no obs column 'celltype'" in said


def test_files_with_comments_tell_it_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"# x\n,s1,s2\nRPL3,1,2\nRPS6,3,{len(name)}\n")
    found = inspect(tmp_path / "a.csv", files=[str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert [warning.partition(": ")[2] for warning in found["warnings"]] == [
        "1 line(s) of comment before the header were skipped"
    ]
