import json

import pandas as pd
import pytest
from cellferry.errors import InputError
from check_datasets import check_datasets

FOUND = {
    "dataset": "atlas",
    "role": "reference",
    "format": "h5ad",
    "cells": 100,
    "cells_kept": 90,
    "genes": 10,
    "nonzeros": None,
    "counts": "X",
    "gene_id": "ensembl",
    "path": "atlas.h5ad",
    "label": "cell_type",
    "n_labels": 3,
    "labels": {"B cell": 40, "CD4 T": 30, "NK": 20},
    "levels": [],
    "n_batches": 2,
    "problems": [],
    "warnings": ["a doubt"],
}


def write(folder, **changes):
    found = FOUND | changes
    path = folder / f"{found['dataset']}.json"
    path.write_text(json.dumps(found))
    return str(path)


def test_table(tmp_path, capsys):
    paths = [write(tmp_path), write(tmp_path, dataset="blood", role="query", nonzeros=3_000_000_000)]
    check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})
    table = pd.read_csv(tmp_path / "datasets.tsv", sep="\t", index_col=0)
    assert list(table.index) == ["atlas", "blood"]
    assert table.loc["blood", "nonzeros"] == 3_000_000_000
    assert table.loc["atlas", ["role", "cells", "labels", "batches"]].tolist() == ["reference", 90, 3, 2]
    assert "warning: atlas: a doubt" in capsys.readouterr().out


def test_all_problems_are_told_at_once(tmp_path):
    paths = [
        write(tmp_path, problems=["first problem", "second problem"]),
        # A file that cannot be read has no shape.
        str(tmp_path / "blood.json"),
    ]
    broken = {"dataset": "blood", "role": "query", "problems": ["third problem"], "warnings": []}
    (tmp_path / "blood.json").write_text(json.dumps(broken))
    with pytest.raises(InputError) as raised:
        check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})
    message = str(raised.value)
    assert message.startswith("the datasets have 3 problem(s):")
    for line in ("- atlas: first problem", "- atlas: second problem", "- blood: third problem"):
        assert line in message
    assert not (tmp_path / "datasets.tsv").exists()


def test_labels_that_no_reference_has_are_asked_about(tmp_path, capsys):
    levels = [{"name": "lineage", "of": {"CD4 T": "T cell"}}]
    foreign = {"b  cells": 5, "T cell": 4, "γδ T": 3, "NK": 2, "erythrocyte": 1, "lymphocyte": 1}
    paths = [
        write(tmp_path, levels=levels),
        write(tmp_path, dataset="lung", labels={"cd4-t": 9, "AT2": 5}),
        write(tmp_path, dataset="blood", role="evaluate", labels=foreign, warnings=[]),
    ]
    check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={"B cell": "lymphocyte"})
    said = capsys.readouterr().out
    assert (
        "blood: no reference has the label 'b  cells' (5 cells); did you mean 'B cell'? Then say so" in said
    )
    assert "no reference has the label 'erythrocyte' (1 cells)\n" in said
    assert (
        "'cd4-t' of lung and 'CD4 T' of atlas are two labels; if they are one, say so in labels.rename"
        in said
    )
    assert said.count("no reference has") == 3
    assert (tmp_path / "datasets.tsv").exists()


def test_labels_that_a_reference_trained_before_lacks_are_asked_about(tmp_path, capsys):
    known = {"labels": {"B cell": {}, "CD4": {}}, "levels": [{"name": "lineage", "of": {"CD4": "T cell"}}]}
    (tmp_path / "labels.json").write_text(json.dumps(known))
    labels = {"b cells": 5, "T cell": 4, "CD4": 1}
    paths = [write(tmp_path, dataset="blood", role="query", labels=labels, warnings=[])]
    trained = str(tmp_path / "labels.json")
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
    levels = [[{"name": "lineage", "of": {"NK": node}}] for node in ("lymphoid", "innate")]
    paths = [write(tmp_path, levels=levels[0]), write(tmp_path, dataset="lung", levels=levels[1])]
    with pytest.raises(
        InputError, match="'NK' stands below 'innate' in 'lineage', and below 'lymphoid' in atlas"
    ):
        check_datasets(paths, str(tmp_path / "datasets.tsv"), parents={})
