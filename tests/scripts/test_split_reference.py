"""split_reference: cells that are dropped, references that are refused, and the table of parts."""

import numpy as np
import pytest
from cellferry.artifacts.json_files import read_artifact
from cellferry.artifacts.labels import ReferenceLabels
from cellferry.config.settings import SplitSettings
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from cellferry.sampling.splits import PARTS, SPLITS, read_split
from example_artifacts import hierarchy_of, write_inspection
from simulate import settings_like, simulate_cells, write_cells
from split_reference import split_reference


def split(tmp_path, cells, **settings):
    write_cells(tmp_path / "merged.h5ad", cells, "atlas")
    return split_files(tmp_path, [tmp_path / "merged.h5ad"], cells.n_obs, **settings)


def split_files(
    tmp_path,
    merged,
    n_cells,
    *,
    inspected=(),
    subsample=None,
    parents=None,
    ontology=None,
    is_a=None,
    seed=0,
    **settings,
):
    """Part of each cell; labels.json is written."""
    splits = str(tmp_path / "splits.parquet")
    split_reference(
        [str(path) for path in merged],
        [str(path) for path in inspected],
        splits,
        str(tmp_path / "labels.json"),
        settings=settings_like(SplitSettings, **settings),
        subsample=subsample,
        parents=parents or {},
        ontology=ontology or {},
        is_a=is_a,
        seed=seed,
        budget=Budget(1000),
    )
    parts = np.full(n_cells, None)
    for part in PARTS:
        parts[read_split(splits, part)] = part
    return parts


def described(tmp_path):
    return read_artifact(ReferenceLabels, tmp_path / "labels.json")


def test_every_part_holds_every_label(tmp_path):
    cells = simulate_cells(300)
    parts = split(tmp_path, cells)
    for part in ("train", "validation", "test"):
        assert set(cells.obs["cell_type"][parts == part]) == {"T cell", "B cell", "NK"}


def test_rare_labels_and_cells_without_label_are_left_out_and_named(tmp_path, capsys):
    cells = simulate_cells(300)
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[:4] = "rare"
    labels[4:8] = None
    cells.obs["cell_type"] = labels
    parts = split(tmp_path, cells)
    assert (parts[:4] == "rare").all()
    assert all(part is None for part in parts[4:8])
    assert np.isin(parts[8:], SPLITS).all()
    said = capsys.readouterr().out
    assert "label 'rare' is seen, but not predictable: 4 cells" in said
    assert "4 of 300 cells have no label" in said


def test_what_is_known_of_labels(tmp_path):
    """Cells per part, rare ones too; levels and ids, a label's own among them."""
    cells = simulate_cells(300)
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[labels == "NK"] = "CL:0000623"
    labels[:4] = "rare"
    cells.obs["cell_type"] = labels
    parents = {"T cell": "lymphocyte", "B cell": "lymphocyte", "rare": "myeloid"}
    ids = {"T cell": "CL:0000084", "lymphocyte": "CL:0000542"}
    parts = split(tmp_path, cells, parents=parents, ontology=ids)
    found = described(tmp_path)
    assert list(found.labels) == ["B cell", "CL:0000623", "T cell", "rare"]
    for label, about in found.labels.items():
        expected = {part: int(np.sum((labels == label) & (parts == part))) for part in SPLITS}
        assert {part: getattr(about, part) for part in SPLITS} == expected
        assert about.cells == np.sum(labels == label)
    assert found.rare == {"rare": 4}
    of = {"B cell": "lymphocyte", "T cell": "lymphocyte", "CL:0000623": "CL:0000623", "rare": "myeloid"}
    assert found.hierarchy == hierarchy_of(["B cell", "CL:0000623", "T cell"], {"level_1": of}, rare=["rare"])
    given = {"T cell": "CL:0000084", "lymphocyte": "CL:0000542"}
    assert found.ontology == {"CL:0000623": "CL:0000623"} | given


def test_levels_of_columns_and_without(tmp_path):
    cells = simulate_cells(100)
    split(tmp_path, cells)
    labels = ["B cell", "NK", "T cell"]
    assert described(tmp_path).hierarchy == hierarchy_of(labels)
    lineage = {"T cell": "T/NK", "NK": "T/NK"}
    inspected = write_inspection(tmp_path, "atlas", hierarchy=hierarchy_of(labels, {"lineage": lineage}))
    split_files(tmp_path, [tmp_path / "merged.h5ad"], 100, inspected=[inspected])
    assert described(tmp_path).hierarchy == hierarchy_of(labels, {"lineage": lineage | {"B cell": "B cell"}})


def test_one_label_is_refused(tmp_path):
    cells = simulate_cells(60, labels=("T cell",))
    with pytest.raises(InputError, match=r"1 label\(s\).*two are needed.*min_cells_per_label"):
        split(tmp_path, cells)


def test_whole_batches_asked_for_where_there_are_none(tmp_path):
    with pytest.raises(InputError, match=r"split\.by is 'batch', but .* set it to 'label' or 'auto'"):
        split(tmp_path, simulate_cells(60), by="batch")


def test_whole_batches(tmp_path):
    cells = simulate_cells(300, batches=tuple("abcdefgh"))
    parts = split(tmp_path, cells)
    for sample in "abcdefgh":
        assert len(np.unique(parts[(cells.obs["sample"] == sample).to_numpy()].astype(str))) == 1


def test_several_references_are_split_as_one(tmp_path):
    """Batches of all are held out whole, and a label's cells are counted over all of them."""
    first = simulate_cells(200, batches=("a", "b"))
    second = simulate_cells(150, labels=("NK", "mast", "T cell"), batches=("c", "d", "e"), seed=1)
    for cells in (first, second):
        cells.obs["cell_type"] = cells.obs["cell_type"].astype(object).to_numpy()
    first.obs.iloc[:6, 0] = "rare"
    second.obs.iloc[:6, 0] = "rare"
    paths = []
    for name, cells in {"atlas": first, "blood": second}.items():
        paths.append(str(tmp_path / f"{name}.h5ad"))
        write_cells(paths[-1], cells, name)
    parts = split_files(tmp_path, paths, 350)
    assert not any(part is None for part in parts)  # the rare label has 12 cells in both together
    batches = np.concatenate([first.obs["sample"].astype(str), second.obs["sample"].astype(str)])
    for sample in "abcde":
        assert len(set(parts[batches == sample])) == 1, sample
    labels = np.concatenate([first.obs["cell_type"], second.obs["cell_type"]])
    assert set(labels[parts == "train"]) == set(labels)


def test_all_cells_of_one_donor(tmp_path):
    """A share of each label is held out, since the only donor cannot be."""
    cells = simulate_cells(300, batches=("only",))
    parts = split(tmp_path, cells)
    for label, about in described(tmp_path).labels.items():
        counts = [np.sum((cells.obs["cell_type"] == label) & (parts == part)) for part in SPLITS]
        assert counts == [80, 10, 10]
        assert [getattr(about, part) for part in SPLITS] == counts


def counted(cells, used):
    """Used cells by label and sample."""
    return cells.obs[used].groupby(["cell_type", "sample"], observed=False).size()


def test_a_subsample_is_even_over_labels_and_their_samples(tmp_path, capsys):
    """Other labels and samples replace the cells that a small one lacks."""
    cells = simulate_cells(3000, labels=("T cell", "B cell", "NK", "mast"), batches=("a", "b", "c"))
    label, sample = (cells.obs[column].astype(str).to_numpy() for column in ("cell_type", "sample"))
    mast, in_c = np.flatnonzero(label == "mast"), np.flatnonzero((label == "B cell") & (sample == "c"))
    cells = cells[np.setdiff1d(np.arange(3000), [*mast[30:], *in_c[20:]])].copy()
    parts = split(tmp_path, cells, subsample=630, by="label")
    used = np.array([part is not None for part in parts])
    assert used.sum() == 630
    found = counted(cells, used)
    assert found["mast"].sum() == 30  # whole
    assert found["B cell", "c"] == 20  # whole
    for label in ("T cell", "B cell", "NK"):
        assert found[label].sum() == 200
    assert set(found["T cell"]) <= {66, 67}
    assert set(found["NK"]) <= {66, 67}
    assert set(found["B cell"][["a", "b"]]) == {90}
    assert f"630 of {len(cells)} labeled cells are used (reference.subsample)" in capsys.readouterr().out
    about = described(tmp_path).labels
    assert about["mast"].cells == 30
    sums = [sum(getattr(about[label], part) for part in SPLITS) for label in ("T cell", "mast")]
    assert sums == [200, 30]


def test_a_subsample_that_is_larger_than_the_reference_is_the_whole(tmp_path):
    cells = simulate_cells(300, batches=("a", "b", "c"))
    whole = split(tmp_path, cells)
    for subsample in (300, 5000):
        assert list(split(tmp_path, cells, subsample=subsample)) == list(whole)


def test_a_subsample_has_no_cells_without_label(tmp_path):
    cells = simulate_cells(300)
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[:90] = None
    labels[90:94] = "rare"
    cells.obs["cell_type"] = labels
    parts = split(tmp_path, cells, subsample=120)
    assert all(part is None for part in parts[:90])
    assert (parts[90:94] == "rare").all()
    assert np.isin(parts[94:], SPLITS).sum() == 120
    again, other = (split(tmp_path, cells, subsample=120, seed=seed) for seed in (0, 1))
    assert list(again) == list(parts)
    assert list(other) != list(parts)


def test_a_subsample_of_several_references_together(tmp_path):
    paths = []
    for seed, name in enumerate(("atlas", "blood")):
        cells = simulate_cells(600, batches=(f"{name}1", f"{name}2"), seed=seed)
        paths.append(str(tmp_path / f"{name}.h5ad"))
        write_cells(paths[-1], cells, name)
    parts = split_files(tmp_path, paths, 1200, subsample=240)
    used = np.array([part is not None for part in parts])
    assert (used[:600].sum(), used[600:].sum()) == (120, 120)


def test_a_subsample_of_too_few_cells(tmp_path):
    with pytest.raises(
        InputError,
        match=r"reference\.subsample is 100, and 3 labels can be predicted, which take 50 cells each "
        r"\(split\.min_cells_per_label\); raise the one or lower the other",
    ):
        split(tmp_path, simulate_cells(600), subsample=100, min_cells_per_label=50)


def mixed_depths(n_coarse):
    """Cells; some T cells have no finer label."""
    cells = simulate_cells(300, labels=("CD4 T", "CD8 T", "B"))
    labels = cells.obs["cell_type"].astype(object).to_numpy().copy()
    labels[np.flatnonzero(labels != "B")[:n_coarse]] = "T"
    cells.obs["cell_type"] = labels
    return cells, labels


@pytest.mark.parametrize("n_coarse", [4, 80])
def test_a_coarser_label_is_split_and_not_predictable(tmp_path, capsys, n_coarse):
    """Even with few cells: the labels below it are trained on them."""
    cells, labels = mixed_depths(n_coarse)
    parts = split(tmp_path, cells, parents={"CD4 T": "T", "CD8 T": "T"})
    assert np.isin(parts[labels == "T"], SPLITS).all()
    assert (parts[labels == "T"] == "train").any()
    known = described(tmp_path)
    assert known.hierarchy.leaves == ["B", "CD4 T", "CD8 T"]
    assert known.coarse == {"T": n_coarse}
    assert known.rare == {}
    assert known.hierarchy.leaves_below("T") == ["CD4 T", "CD8 T"]
    assert known.hierarchy.kind("T") == "at a coarser level"
    said = capsys.readouterr().out
    assert f"'T' is a coarser label: its {n_coarse} cells train the sum of CD4 T, CD8 T" in said


def test_without_a_tree_it_is_a_label_like_others(tmp_path):
    cells, _ = mixed_depths(80)
    split(tmp_path, cells)
    assert described(tmp_path).hierarchy.leaves == ["B", "CD4 T", "CD8 T", "T"]


def test_the_cell_ontology_gives_the_same_tree(tmp_path):
    cells, _ = mixed_depths(80)
    ids = {"T": "CL:0000084", "CD4 T": "CL:0000624", "CD8 T": "CL:0000625"}
    split(tmp_path, cells, ontology=ids, is_a="shipped")
    assert described(tmp_path).coarse == {"T": 80}
