"""check_datasets: contradictions between datasets, reported together before anything is converted."""

import re
from collections import Counter

import pandas as pd
import pytest
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import write_artifact
from cellferry.cytometry.value_kind import ValueKind
from cellferry.datasets import label_check
from cellferry.errors import InputError
from cellferry.labels import tree
from check_datasets import check_datasets
from example_artifacts import hierarchy_of, write_features, write_inspection, write_reference_labels
from simulate import PANEL, describe_events, simulate_events


def write(folder, dataset="atlas", role="reference", **changes):
    return write_inspection(
        folder, dataset, role, **{"cells": 100, "cells_kept": 90, "warnings": ["a doubt"], **changes}
    )


def test_table(tmp_path, capsys):
    paths = [write(tmp_path), write(tmp_path, dataset="blood", role="query", nonzeros=3_000_000_000)]
    check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})
    table = pd.read_csv(tmp_path / "datasets.tsv", sep="\t", index_col=0)
    assert list(table.index) == ["atlas", "blood"]
    assert table.loc["blood", "nonzeros"] == 3_000_000_000
    assert table.loc["atlas", ["role", "cells", "labels", "batches"]].tolist() == ["reference", 90, 3, 2]
    assert "warning: atlas: a doubt" in capsys.readouterr().out


def write_unreadable(folder, dataset, problem):
    """Artifact of a file that cannot be read; its path."""
    found = Inspection(dataset=dataset, role="query", path=f"{dataset}.h5ad", problems=[problem])
    write_artifact(found, folder / f"{dataset}.json")
    return str(folder / f"{dataset}.json")


def test_all_problems_are_told_at_once(tmp_path):
    paths = [
        write(tmp_path, problems=["first problem", "second problem"]),
        write_unreadable(tmp_path, "blood", "third problem"),
    ]
    with pytest.raises(InputError) as raised:
        check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})
    message = str(raised.value)
    assert message.startswith("the datasets have 3 problem(s):")
    for line in ("- atlas: first problem", "- atlas: second problem", "- blood: third problem"):
        assert line in message
    assert not (tmp_path / "datasets.tsv").exists()


def test_labels_that_no_reference_has_are_asked_about(tmp_path, capsys):
    levels = hierarchy_of(["CD4 T"], {"lineage": {"CD4 T": "T cell"}})
    foreign = {"b  cells": 5, "T cell": 4, "γδ T": 3, "NK": 2, "erythrocyte": 1, "lymphocyte": 1}
    paths = [
        write(tmp_path, hierarchy=levels),
        write(tmp_path, dataset="lung", labels={"cd4-t": 9, "AT2": 5}),
        write(tmp_path, dataset="blood", role="evaluate", labels=foreign, warnings=[]),
    ]
    check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={"B cell": "lymphocyte"})
    said = capsys.readouterr().out
    assert (
        "blood: no reference has the label 'b  cells' (5 cells); did you mean 'B cell'? Then add it to"
        in said
    )
    assert "no reference has the label 'erythrocyte' (1 cells)\n" in said
    assert (
        "'cd4-t' of lung and 'CD4 T' of atlas are two labels; if they are the same, merge them in labels"
        in said
    )
    assert said.count("no reference has") == 3
    assert (tmp_path / "datasets.tsv").exists()


def test_labels_that_a_reference_trained_before_lacks_are_asked_about(tmp_path, capsys):
    lineage = {"B cell": "B cell", "CD4": "T cell"}
    trained = write_reference_labels(tmp_path / "labels.json", ["B cell", "CD4"], {"lineage": lineage})
    labels = {"b cells": 5, "T cell": 4, "CD4": 1}
    paths = [write(tmp_path, dataset="blood", role="query", labels=labels, warnings=[])]
    check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={}, trained_labels=trained)
    said = capsys.readouterr().out
    assert "no reference has the label 'b cells' (5 cells); did you mean 'B cell'?" in said
    assert said.count("no reference has") == 1


def test_one_label_in_all_references_together(tmp_path):
    paths = [write(tmp_path, labels={"B": 90}), write(tmp_path, dataset="lung", labels={"B": 90})]
    with pytest.raises(
        InputError, match=r"datasets\.atlas\.label, datasets\.lung\.label: .* 'B' in 'cell_type'"
    ):
        check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})
    write(tmp_path, dataset="lung", labels={"T": 90})
    check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})


def test_references_whose_levels_contradict_each_other(tmp_path):
    first, second = (hierarchy_of(["NK"], {"lineage": {"NK": node}}) for node in ("lymphoid", "innate"))
    paths = [write(tmp_path, hierarchy=first), write(tmp_path, dataset="lung", hierarchy=second)]
    with pytest.raises(
        InputError, match="'NK' is below 'innate' in 'lineage', and below 'lymphoid' in atlas"
    ):
        check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})


RENAMES = {"B-cell": True, "Tcell": False, "NK": False}


@pytest.mark.parametrize(
    ("settings", "second", "expected"),
    [
        (
            {},
            RENAMES | {"NK": True},
            "warning: labels.rename: 1 of 3 names fit no label of a dataset: 'Tcell'",
        ),
        (
            {"parents": {"CD4 T": "T", "T": "lymphoid", "CD4": "T"}},
            {},
            "1 of 3 names fit no label of a reference",
        ),
        (
            {"ontology": {"NK": "CL:0000623", "NKT": "CL:0000814"}},
            {},
            "reference or parent: 'NKT' (did you mean 'NK'?)",
        ),
        ({"parents": {"NK": "innate"}, "ontology": {"innate": "CL:0000623"}}, {}, None),
    ],
)
def test_names_that_fit_nothing_are_told(tmp_path, capsys, settings, second, expected):
    first = {"labels.rename": RENAMES if second else {}}
    paths = [write(tmp_path, named=first), write(tmp_path, dataset="lung", named={"labels.rename": second})]
    check_datasets(paths, str(tmp_path / "datasets.tsv"), **{"parents": {}, **settings})
    said = capsys.readouterr().out
    assert expected in said if expected else "fit no" not in said


@pytest.mark.parametrize(
    ("settings", "named", "expected"),
    [
        (
            {},
            {"labels.rename": {"a": False, "Nk": False}},
            "labels.rename: fits no label of a dataset: 'a', 'Nk'",
        ),
        ({}, {"cytometry.markers": {"CD4": False}}, "cytometry.markers: fits no channel of a dataset: 'CD4'"),
        (
            {"parents": {"x": "y"}},
            {},
            "labels.parents: fits no label of a reference: 'x'; correct it or take it out",
        ),
        (
            {"ontology": {"x": "CL:0000623"}},
            {},
            "labels.ontology: fits no label of a reference or parent: 'x'",
        ),
    ],
)
def test_a_key_that_fits_nothing_is_refused(tmp_path, settings, named, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        check_datasets([write(tmp_path, named=named)], str(tmp_path / "a.tsv"), **{"parents": {}, **settings})


def test_without_references_renames_may_fit_nothing(tmp_path, capsys):
    """Renamed labels may be those of an earlier training."""
    path = write(tmp_path, role="query", named={"labels.rename": {"a": False}})
    check_datasets([path], str(tmp_path / "datasets.tsv"), parents={"x": "y"})
    assert "warning: labels.rename: fits no label of a dataset: 'a'" in capsys.readouterr().out


# --- cytometry ------------------------------------------------------------------------------------------

LOOKS = {"values": "raw", "technology": "mass"}


def write_events(folder, name, *, panel=PANEL, role="query", **look):
    events = describe_events(simulate_events(3, panel=panel), name, role=role, **LOOKS | look)
    write_artifact(events, folder / f"{name}.json")
    return str(folder / f"{name}.json")


def check_events(folder, paths, *, sources=("atlas", "patients"), **settings):
    settings = {"gene_sources": list(sources), "min_common": 0.3, **settings}
    check_datasets(paths, str(folder / "datasets.tsv"), parents={}, **settings)


def test_panels_that_fit(tmp_path, capsys):
    paths = [write_events(tmp_path, "atlas", role="reference"), write_events(tmp_path, "patients")]
    check_events(tmp_path, paths, cofactor={"cd-3": 7})
    assert (tmp_path / "datasets.tsv").exists()
    assert "warning" not in capsys.readouterr().out


FORTY = tuple(f"CD{number}" for number in range(1, 41))


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (("atlas", "patients"), "panels: only 3 of the references' 40 markers are in all datasets"),
        (
            ("atlas",),
            "panels: datasets.patients: has 3 of the model's 40 input markers, and genes.min_",
        ),
    ],
)
def test_three_of_forty_markers(tmp_path, sources, said):
    """With and without training on the common markers, before anything is converted."""
    paths = [
        write_events(tmp_path, "atlas", role="reference", panel=FORTY),
        write_events(tmp_path, "patients", panel=(*FORTY[:3], "Foo")),
    ]
    with pytest.raises(InputError, match=said) as raised:
        check_events(tmp_path, paths, sources=sources)
    assert "and has CD1, CD2, CD3, Foo: if some of these have other names, add them to" in str(raised.value)
    assert not (tmp_path / "datasets.tsv").exists()
    check_events(tmp_path, paths, sources=sources, min_common=0.07)


def write_trained(folder, markers=PANEL, *, backbone=PANEL, **look):
    """Artifacts of a run that trained a model, by argument of check_datasets."""
    table = pd.DataFrame({"gene": list(markers)})
    table["backbone"] = table["gene"].isin(backbone)
    table.to_csv(folder / "genes.tsv", sep="\t", index=False)
    values = {"atlas": ValueKind(**{**LOOKS, "why": "seen", **look})}
    write_features(folder / "genes.json", namespace="marker", values=values)
    return {"trained_genes": str(folder / "genes.tsv"), "trained_report": str(folder / "genes.json")}


def test_panels_and_values_of_a_model_trained_before(tmp_path):
    trained = write_trained(tmp_path, backbone=PANEL[:8])
    check_events(tmp_path, [write_events(tmp_path, "patients", panel=("141Pr_cd3", *PANEL[1:3]))], **trained)
    few = [write_events(tmp_path, "patients", panel=(*PANEL[8:], "CD3"))]
    with pytest.raises(InputError, match=r"datasets\.patients: has 1 of the model's 8 input markers"):
        check_events(tmp_path, few, **trained)
    scaled = [write_events(tmp_path, "patients", values="scaled")]
    with pytest.raises(
        InputError,
        match=r"panels: datasets\.patients: its values are scaled to 0..1 \(simulated\), and those of "
        r"the earlier run \(atlas\) are not; .* datasets\.NAME\.transformed: false",
    ):
        check_events(tmp_path, scaled, **trained)
    check_events(tmp_path, scaled, **write_trained(tmp_path, values="scaled"))


def of_others(folder, **look):
    """Artifacts of a pre-trained model whose values were of this kind."""
    trained = write_trained(folder)
    values = {"pretrained": ValueKind(**{"technology": None, **look})}
    write_features(folder / "genes.json", namespace="marker", values=values)
    return trained


def test_values_that_a_model_of_others_takes(tmp_path, capsys):
    query = [write_events(tmp_path, "patients")]
    check_events(tmp_path, query, **of_others(tmp_path, values="transformed", why="a table"))
    assert "technologies" not in capsys.readouterr().out
    said = r"patients: has raw values \(simulated\), and the model was trained on scaled ones \(no table\)"
    with pytest.raises(InputError, match=said):
        check_events(tmp_path, query, **of_others(tmp_path, values="scaled", why="no table"))


def test_scaled_beside_raw_values(tmp_path):
    paths = [
        write_events(tmp_path, "atlas", role="reference"),
        write_events(tmp_path, "patients", values="scaled"),
        write_events(tmp_path, "more", values="transformed"),
    ]
    with pytest.raises(
        InputError,
        match=r"datasets\.patients: its values are scaled .* of datasets\.atlas, datasets\.more are not",
    ):
        check_events(tmp_path, paths)
    for name, role in {"atlas": "reference", "more": "query"}.items():
        write_events(tmp_path, name, role=role, values="scaled")
    check_events(tmp_path, paths)


def test_values_that_may_not_agree_are_told(tmp_path, capsys):
    paths = [
        write_events(tmp_path, "atlas", role="reference", values="transformed"),
        write_events(tmp_path, "patients", technology="fluorescence"),
        write_events(tmp_path, "more"),
    ]
    check_events(tmp_path, paths)
    said = capsys.readouterr().out
    assert (
        "warning: values are raw in datasets.patients, datasets.more and transformed already in "
        "datasets.atlas; they agree only if" in said
    )
    assert (
        "warning: datasets are of several technologies (mass in datasets.atlas and datasets.more, "
        "fluorescence in datasets.patients); they may not agree" in said
    )


def test_cofactors_of_unknown_markers_are_told_before_anything_is_converted(tmp_path):
    paths = [write_events(tmp_path, "atlas", role="reference"), write_events(tmp_path, "patients")]
    with pytest.raises(InputError, match=r"cytometry\.cofactor: names CD99, not among the markers"):
        check_events(tmp_path, paths, cofactor={"CD99": 7})


def test_problems_of_files_come_before_those_of_panels(tmp_path):
    paths = [
        write_events(tmp_path, "atlas", role="reference"),
        write_unreadable(tmp_path, "patients", "broken"),
    ]
    with pytest.raises(InputError, match=r"1 problem\(s\):\n  - patients: broken$"):
        check_events(tmp_path, paths)


def mixed_depths(folder):
    labels = {"T cell": 40, "CD4 T cell": 20, "CD8 T cells": 20, "B cell": 10}
    return [write(folder, labels=labels, warnings=[])]


def test_what_becomes_of_coarser_labels_is_told(tmp_path, capsys):
    parents = {"CD4 T cell": "T cell", "CD8 T cells": "T cell", "NK": "B cell"}
    check_datasets(mixed_depths(tmp_path), str(tmp_path / "datasets.tsv"), parents=parents)
    said = capsys.readouterr().out
    assert "'T cell' is a coarser label: its 40 cells train the sum of CD4 T cell, CD8 T cells" in said
    assert "warning: 'B cell' (10 cells) is a coarser label without children in the reference" in said
    assert "may be below" not in said


def test_parents_are_suggested_and_nothing_is_made_of_them(tmp_path, capsys):
    check_datasets(mixed_depths(tmp_path), str(tmp_path / "datasets.tsv"), parents={})
    said = capsys.readouterr().out
    assert "note: 2 label(s) may be below others by their names; this has no effect." in said
    assert "\nCD4 T cell\tT cell\nCD8 T cells\tT cell\n" in said
    assert "is a coarser label" not in said


@pytest.mark.parametrize(
    ("ontology", "message"),
    [
        ({}, "labels.is_a: no label is above another one"),
        ({"T cell": "CL:9999999"}, "CL:9999999, the id of 'T cell', is not in the Cell Ontology"),
    ],
)
def test_an_ontology_that_gives_no_tree_is_refused(tmp_path, ontology, message):
    table = str(tmp_path / "datasets.tsv")
    with pytest.raises(InputError, match=re.escape(message)):
        check_datasets(mixed_depths(tmp_path), table, parents={}, ontology=ontology, is_a="shipped")


@pytest.mark.parametrize("role", ["reference", "query"])
def test_tables_ontology_and_columns_are_read_once(tmp_path, monkeypatch, role):
    read = Counter()

    def counted(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: (read.update([name]), function(*given))[1])

    for name in ("read_parents", "read_ontology", "joined_hierarchy"):
        counted(label_check, name)
    counted(tree, "read_obo")
    paths = [write(tmp_path, labels={"T cell": 40, "CD4 T cell": 20, "B cell": 10}, role=role)]
    ids = {"T cell": "CL:0000084", "CD4 T cell": "CL:0000624"}
    table = str(tmp_path / "datasets.tsv")
    check_datasets(paths, table, parents={"B cell": "lymphocyte"}, ontology=ids, is_a="shipped")
    # Without a reference they are not used.
    expected = (
        ["read_parents", "read_ontology", "joined_hierarchy", "read_obo"] if role == "reference" else []
    )
    assert read == Counter(expected)


def test_a_label_that_is_also_a_node_of_a_level_is_named(tmp_path, capsys):
    above = {"CD4 T": "T", "CD8 T": "T", "T": "T", "B": "B"}
    path = write(
        tmp_path, labels=dict.fromkeys(above, 10), hierarchy=hierarchy_of(list(above), {"lineage": above})
    )
    check_datasets([path], str(tmp_path / "datasets.tsv"), parents={})
    said = capsys.readouterr().out
    assert "warning: 'T' (10 cells) is above 2 labels in the columns of datasets.NAME.levels" in said
    assert said.count("(10 cells) is above") == 1
