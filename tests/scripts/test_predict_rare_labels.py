"""predict_labels of a reference with labels of four cells each: cells like them get no other label."""

import numpy as np
import pandas as pd
import pytest
from cellferry.heads.rare_labels import RareLabels
from mapped import LABELS, counts_at, write_expression
from test_predict_labels import columns, predict, query, train
from threadpoolctl import threadpool_limits

RARE = "mast, few"
HEADS = ("linear", "expression", "expression_ranks")
PLACES = [0, 1, 2] * 40 + [3] * 30
IS_RARE = np.array(PLACES) == 3


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Classifiers of a reference with a rare label, and of the same cells without it."""
    return [
        train(tmp_path_factory.mktemp(name), heads=HEADS, rare=rare)
        for name, rare in {"with": {RARE: 3}, "without": None}.items()
    ]


@pytest.fixture
def part(tmp_path):
    """Cells whose latents are those of known labels: only their counts distinguish the rare ones."""
    cells = query(tmp_path, [min(place, 2) for place in PLACES])
    write_expression(tmp_path / "query/common.h5ad", counts_at(PLACES, depth=3, seed=6), markers=False)
    return cells


def test_cells_of_a_rare_label_are_not_given_another(folders, part, capsys):
    found = predict(folders[0], part, min_p=0)
    assert (found["rare_label"] == RARE)[IS_RARE].mean() > 0.9
    assert found["rare_label"][~IS_RARE].isna().mean() > 0.98
    named = found[found["rare_label"].notna()]
    assert set(named["label"]) == {"unknown"}
    assert set(named["reason"]) == {"rare label"}
    assert f"'rare label': {len(named)}" in capsys.readouterr().out


def test_nothing_else_changes(folders, part):
    """Probabilities of the label and of heads are unchanged, too."""
    found, without = (predict(folder, part) for folder in folders)
    assert list(without.columns) == [*columns(HEADS), "truth"]
    others = found["rare_label"].isna()
    answers = ["label", "level", "reason"]
    pd.testing.assert_frame_equal(found.loc[others, answers], without.loc[others, answers])
    numbers = found.drop(columns=["rare_label", *answers])
    pd.testing.assert_frame_equal(numbers, without.drop(columns=answers))
    assert RareLabels.load(folders[1] / "classifier") is None


def test_without_a_limit_on_the_error_every_cell_gets_a_label(folders, part, tmp_path):
    free = train(tmp_path / "free", heads=HEADS, rare={RARE: 3}, max_error=1)
    found = predict(free, part, min_p=0, min_counts=0, min_genes=0)
    assert set(found["label"]) <= set(LABELS)
    assert found["rare_label"].isna().all()


def test_without_the_head_on_ranks_there_is_no_column(tmp_path, part):
    other = train(tmp_path / "other", heads=("linear", "expression"), rare={RARE: 3})
    assert "rare_label" not in predict(other, part)
