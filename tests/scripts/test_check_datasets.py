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
    "n_labels": 3,
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
    check_datasets(paths, str(tmp_path / "datasets.tsv"))
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
        check_datasets(paths, str(tmp_path / "datasets.tsv"))
    message = str(raised.value)
    assert message.startswith("the datasets have 3 problem(s):")
    for line in ("- atlas: first problem", "- atlas: second problem", "- blood: third problem"):
        assert line in message
    assert not (tmp_path / "datasets.tsv").exists()
