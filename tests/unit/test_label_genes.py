"""Genes of labels: planted markers support their types; planted shifts are found, and no others."""

import csv

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.expression_sums import REFERENCE_SUMS, ExpressionSums
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.json_files import write_artifact
from cellferry.artifacts.labels import ClassifierLabels
from cellferry.artifacts.shifted_genes import IN_MOST_LABELS, MIN_CELLS
from cellferry.evaluation.gene_tables import GeneTables
from cellferry.evaluation.label_genes import runners_up
from cellferry.features.gene_ids import GeneTable, symbols_beside
from cellferry.heads.expression import ExpressionHead, log_normalized
from cellferry.heads.expression_pca import ExpressionPcaHead
from cellferry.resources.budget import Budget
from example_artifacts import hierarchy_of
from scipy import sparse

LABELS = ["B", "NK", "T, CD4", "mono"]
N_GENES = 200
MARKERS = {label: range(10 * code, 10 * code + 5) for code, label in enumerate(LABELS)}
SHIFTED = range(150, 160)
"""Genes that go up in every type of a shifted query."""
OWN = range(170, 173)
"""Genes that go down in monocytes only."""


def cells_of(codes, *, shifted=False, own=False, seed=0):
    """Counts of cells: five marker genes per type, the others equal, with an optional shift."""
    rng = np.random.default_rng(seed)
    rates = np.full((len(codes), N_GENES), 1.0)
    for cell, code in enumerate(codes):
        rates[cell, list(MARKERS[LABELS[code]])] = 5
    rates[:, list(SHIFTED)] = 4 if shifted else 0.5
    monocytes = np.flatnonzero(np.asarray(codes) == 3)
    rates[np.ix_(monocytes, list(OWN))] = 0.1 if own else 2
    return sparse.csr_matrix(rng.poisson(rates).astype(np.float32))


def summed(counts, codes):
    sums = ExpressionSums(LABELS, counts.shape[1])
    sums.add(log_normalized(counts), np.asarray(codes))
    return sums


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("classifier"))


def write_classifier(folder, *, heads=("expression",), with_sums=True):
    codes = np.arange(400) % 4
    counts = cells_of(codes, seed=1)
    trained = {
        "expression": lambda: ExpressionHead.train(counts, codes, n_labels=4, normalize=True),
        "expression_pca": lambda: ExpressionPcaHead.train(counts, codes, n_labels=4),
    }
    for head in heads:
        if head in trained:
            trained[head]().save(folder)
    known = ClassifierLabels(hierarchy_of(LABELS), list(heads), {}, {}, 0, {})
    write_artifact(known, folder / "labels.json")
    if with_sums:
        summed(counts, codes).save(folder / REFERENCE_SUMS)
    return folder


def write_query(folder, counts, best, *, runner_up=None, chunks=1, low_quality=(), var=None):
    """Expression, predictions and sums of a query, in chunks."""
    if runner_up is None:
        runner_up = [LABELS[(LABELS.index(label) + 1) % 4] for label in best]
    n_cells = len(best)
    reason = ["low quality" if cell in low_quality else None for cell in range(n_cells)]
    names = np.array([f"cell{cell}" for cell in range(n_cells)], dtype=object)
    genes = pd.DataFrame(var or {}, index=[f"G{gene}" for gene in range(N_GENES)])
    with H5adWriter(folder / "common.h5ad", genes) as writer:
        writer.append(counts, names, {})
    predictions, sums = [], []
    for chunk in range(chunks):
        some = slice(chunk * n_cells // chunks, (chunk + 1) * n_cells // chunks)
        columns = {"best_label": best[some], "runner_up": runner_up[some], "reason": reason[some]}
        predictions.append(str(folder / f"{chunk}.parquet"))
        pq.write_table(
            pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}),
            predictions[-1],
        )
        codes = [-1 if reason[cell] else LABELS.index(best[cell]) for cell in range(n_cells)[some]]
        sums.append(str(folder / f"{chunk}.npz"))
        summed(counts[some], codes).save(sums[-1])
    return predictions, sums


def tables(classifier, folder, counts, best, *, names="", gene_map=None, **how):
    """The rows of both tables."""
    folder.mkdir(parents=True, exist_ok=True)
    predictions, sums = write_query(folder, counts, best, **how)
    paths = str(folder / "label_genes.tsv"), str(folder / "shifted_genes.tsv")
    with H5adReader(folder / "common.h5ad") as cells:
        GeneTables(sums, names or str(folder / "merged.h5ad"), gene_map, *paths).write(
            predictions, cells, str(classifier), budget=Budget(2000)
        )
    return tuple(rows_of(path) for path in paths)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def genes_of(rows, label):
    return [row["gene"] for row in rows if row["label"] == label]


def query_codes(n_cells=400, seed=7):
    return np.random.default_rng(seed).integers(0, 4, n_cells)


@pytest.mark.parametrize("head", ["expression", "expression_pca"])
def test_planted_markers_speak_for_their_type_against_the_runner_up(tmp_path, head):
    folder = write_classifier(tmp_path, heads=(head, "linear"))
    codes = query_codes()
    best = [LABELS[code] for code in codes]
    speaking, _ = tables(folder, tmp_path / "query", cells_of(codes, seed=2), best)
    for code, label in enumerate(LABELS):
        rows = [row for row in speaking if row["label"] == label]
        second = LABELS[(code + 1) % 4]
        # Ten genes differ between the two: markers of the label, and of the other one.
        planted = {f"G{gene}" for pair in (label, second) for gene in MARKERS[pair]}
        planted |= {f"G{gene}" for gene in OWN} if "mono" in (label, second) else set()
        assert {row["gene"] for row in rows[:10]} <= planted
        assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
        assert {row["runner_up"] for row in rows} == {second}
        assert {int(row["cells"]) for row in rows} == {best.count(label)}
        contributions = [float(row["contribution"]) for row in rows]
        assert contributions == sorted(contributions, reverse=True)
        assert 0.5 < sum(float(row["share"]) for row in rows) <= 1.001
        for row in rows[:10]:
            if int(row["gene"][1:]) not in OWN:
                has = int(row["gene"][1:]) in MARKERS[label]
                assert (float(row["mean_query"]) > float(row["mean_runner_up"])) == has


def test_the_log_odds_are_those_that_the_head_gives_its_cells(classifier, tmp_path):
    codes = query_codes()
    counts = cells_of(codes, seed=2)
    speaking, _ = tables(classifier, tmp_path / "query", counts, [LABELS[code] for code in codes])
    probabilities = ExpressionHead.load(classifier).probabilities(counts).astype(np.float64)
    for code, label in enumerate(LABELS):
        own, other = probabilities[codes == code][:, [code, (code + 1) % 4]].T
        (found,) = {float(row["log_odds"]) for row in speaking if row["label"] == label}
        assert found == pytest.approx(np.mean(np.log(own / other)), rel=1e-3)


def test_a_planted_shift_of_all_types_is_told_apart_from_that_of_one(classifier, tmp_path):
    codes = query_codes(800)
    counts = cells_of(codes, shifted=True, own=True, seed=2)
    _, shifted = tables(classifier, tmp_path / "query", counts, [LABELS[code] for code in codes])
    shared = [row for row in shifted if row["label"] == IN_MOST_LABELS]
    assert {row["gene"] for row in shared[:10]} == {f"G{gene}" for gene in SHIFTED}
    assert all(row["labels"] == row["of_labels"] == "4" and float(row["effect"]) > 1 for row in shared[:10])
    assert set(genes_of(shifted, "mono")[:3]) == {f"G{gene}" for gene in OWN}
    lowered = [row for row in shifted if row["label"] == "mono"][:3]
    assert all(float(row["effect"]) < -1 and float(row["change"]) < 0 for row in lowered)
    for row in lowered:
        change = float(row["mean_query"]) - float(row["mean_reference"])
        assert change == pytest.approx(float(row["change"]), abs=2e-3)
    for label in LABELS:
        assert not set(genes_of(shifted, label)) & {f"G{gene}" for gene in SHIFTED}


def test_nothing_shifted_where_nothing_was_planted(classifier, tmp_path):
    codes = query_codes(800)
    _, shifted = tables(classifier, tmp_path / "query", cells_of(codes, seed=2), [LABELS[c] for c in codes])
    assert shifted == []


@pytest.mark.parametrize("chunks", [3, 40])
def test_the_number_of_chunks_changes_no_byte(classifier, tmp_path, chunks):
    codes = query_codes()
    counts, best = cells_of(codes, shifted=True, seed=2), [LABELS[code] for code in codes]
    for number in (1, chunks):
        tables(classifier, tmp_path / str(number), counts, best, chunks=number)
    for name in ("label_genes.tsv", "shifted_genes.tsv"):
        whole, cut = ((tmp_path / str(number) / name).read_bytes() for number in (1, chunks))
        assert whole == cut
        assert whole.count(b"\n") > 10


def test_blocks_and_order_of_cells_change_no_digit_of_the_sums(tmp_path):
    codes = query_codes(500)
    values = log_normalized(cells_of(codes, seed=3))
    whole, pieces = ExpressionSums(LABELS, N_GENES), ExpressionSums(LABELS, N_GENES)
    whole.add(values, codes)
    order = np.random.default_rng(0).permutation(500)
    for start in range(0, 500, 7):
        some = order[start : start + 7]
        pieces.add(values[some], codes[some])
    whole.save(tmp_path / "whole.npz")
    pieces.save(tmp_path / "pieces.npz")
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "pieces.npz").read_bytes()
    dense = values.toarray().astype(np.float64)
    for code in range(4):
        np.testing.assert_allclose(whole.mean(code), dense[codes == code].mean(axis=0), atol=1e-6)
        expected = dense[codes == code].var(axis=0, ddof=1)
        np.testing.assert_allclose(whole.variance(code), expected, atol=1e-4)


def test_a_label_of_one_cell_speaks_and_is_not_compared(classifier, tmp_path):
    codes = np.array([0] + [3] * (MIN_CELLS - 1) + [2] * MIN_CELLS)
    counts = cells_of(codes, shifted=True, seed=2)
    speaking, shifted = tables(classifier, tmp_path / "query", counts, [LABELS[code] for code in codes])
    assert {row["label"] for row in speaking} == {"B", "mono", "T, CD4"}
    assert genes_of(speaking, "B")[0] in {f"G{gene}" for gene in (*MARKERS["B"], *MARKERS["NK"])}
    # Only one label is compared, so no shift is shared.
    assert {row["label"] for row in shifted} == {"T, CD4"}
    assert set(genes_of(shifted, "T, CD4")) >= {f"G{gene}" for gene in SHIFTED}


def test_cells_of_low_quality_do_not_count(classifier, tmp_path):
    codes = query_codes(200)
    counts, best = cells_of(codes, seed=2), [LABELS[code] for code in codes]
    speaking, _ = tables(classifier, tmp_path / "query", counts, best, low_quality=range(100))
    cells = {row["label"]: int(row["cells"]) for row in speaking}
    assert cells == {label: best[100:].count(label) for label in LABELS}


@pytest.mark.parametrize("column", ["measured", "backbone"])
def test_what_one_side_lacks_neither_speaks_nor_moved(classifier, tmp_path, column):
    codes = query_codes()
    counts = cells_of(codes, seed=2).toarray()
    lost = [*list(MARKERS["B"])[:2], 150]
    counts[:, lost] = 0
    measured = [gene not in lost for gene in range(N_GENES)]
    speaking, shifted = tables(
        classifier,
        tmp_path / "query",
        sparse.csr_matrix(counts),
        [LABELS[code] for code in codes],
        var={column: measured},
    )
    assert not {row["gene"] for row in [*speaking, *shifted]} & {f"G{gene}" for gene in lost}


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"with_sums": False}, "hold no expression of the reference's cells"),
        ({"heads": ("linear", "expression_ranks")}, "no linear model on expression was trained"),
    ],
)
def test_what_cannot_be_told_is_empty_and_the_log_says_why(tmp_path, capsys, how, word):
    folder = write_classifier(tmp_path, **how)
    codes = query_codes()
    counts = cells_of(codes, shifted=True, seed=2)
    speaking, shifted = tables(folder, tmp_path / "query", counts, [LABELS[code] for code in codes])
    assert speaking == []
    assert bool(shifted) == how.get("with_sums", True)
    assert word in capsys.readouterr().out


def test_a_query_without_cells(classifier, tmp_path):
    assert tables(classifier, tmp_path / "query", cells_of([]), []) == ([], [])


def test_sums_of_other_cells_are_refused(classifier, tmp_path):
    codes = query_codes(40)
    counts, best = cells_of(codes, seed=2), [LABELS[code] for code in codes]
    predictions, sums = write_query(tmp_path, counts, best)
    summed(counts[:-1], codes[:-1]).save(sums[0])
    with (
        H5adReader(tmp_path / "common.h5ad") as cells,
        pytest.raises(RuntimeError, match="were predicted; delete"),
    ):
        GeneTables(sums, "merged.h5ad", None, str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv")).write(
            predictions, cells, str(classifier), budget=Budget(2000)
        )


def test_of_equally_common_runners_up_the_first_by_name_counts():
    cells = {("B", "mono"): 3, ("B", "NK"): 3, ("NK", "B"): 1}
    assert runners_up(cells) == runners_up(dict(reversed(cells.items()))) == {"B": ("NK", 3), "NK": ("B", 1)}


def test_symbols_stand_beside_ensembl_ids_where_the_file_or_a_table_has_them(tmp_path):
    ids = [f"ENSG{number:011d}" for number in range(4)]
    var = pd.DataFrame({"symbol": ["CD3E", "MS4A1", "LYZ", None]}, index=[f"{gene}.3" for gene in ids])
    assert symbols_beside(ids, var, None) == ["CD3E", "MS4A1", "LYZ", ids[3]]
    assert symbols_beside(ids, None, GeneTable({ids[3]: "NKG7"}, {})) == [*ids[:3], "NKG7"]
    assert symbols_beside(["CD3E", "LYZ"], var, None) == ["CD3E", "LYZ"]
    assert symbols_beside(ids, pd.DataFrame(index=ids), None) == ids


def test_symbols_come_from_the_querys_merged_file(tmp_path, monkeypatch):
    folder = write_classifier(tmp_path)
    codes = query_codes()
    ids = [f"ENSG{number:011d}" for number in range(N_GENES)]
    with H5adWriter(tmp_path / "merged.h5ad", pd.DataFrame({"name": [f"S{n}" for n in range(N_GENES)]}, ids)):
        pass
    monkeypatch.setattr(H5adReader, "var", pd.DataFrame(index=ids))
    merged = str(tmp_path / "merged.h5ad")
    best = [LABELS[code] for code in codes]
    speaking, _ = tables(folder, tmp_path / "query", cells_of(codes, seed=2), best, names=merged)
    assert all(row["symbol"] == f"S{ids.index(row['gene'])}" for row in speaking)
    assert speaking[0]["gene"].startswith("ENSG")
