"""The heads on counts alone, and mixed, on real pairs; writes benchmarks/views.md.

    python benchmarks/views.py --data /data    # all pairs, minutes

No model is trained; benchmarks/accuracy.md has the contribution of latents. Heads are trained on four
fifths of each reference; a held-out tenth chooses shrinkage and temperatures, as in train_classifier and
calibrate_classifier. Genes are the 2,000 most variable ones that both sides have.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
from accuracy_pairs import PAIR, RUNS, Dataset
from measuring import ROOT, machine, markdown
from scipy import sparse

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.calibration.mixture import fitted_temperature, tempered
from cellferry.evaluation.metrics import summary
from cellferry.heads.expression import ExpressionHead
from cellferry.heads.registry import ON_COUNTS

PAGE = ROOT / "benchmarks" / "views.md"
N_GENES = 2000
MIN_CELLS = 10
"""Labels with fewer cells are neither trained nor scored."""

FIXED = "C = .01"
"""The linear model on z-scored genes with fixed shrinkage, once the only head on counts."""

MIXED = "mixed"
NOT_LABELS = {"nan", "None", "(none)", "unassigned"}
PAIRS = {
    pair: (run.reference, query)
    for run in RUNS
    for pair, query in run.queries.items()
    if run.of == PAIR and "modality" not in run.settings and query.path.endswith(".h5ad")
}


def read(dataset: Dataset, data: Path) -> ad.AnnData:
    """Counts and labels (obs column `label`) of a dataset; counts from this layer, raw, or X."""
    whole = ad.read_h5ad(data / dataset.path)
    source = whole if whole.raw is None else whole.raw.to_adata()
    cells = ad.AnnData(sparse.csr_matrix(whole.layers.get("counts", source.X)).astype(np.float32))
    cells.obs = whole.obs.copy()
    cells.var_names = source.var_names.astype(str)
    cells.var_names_make_unique()
    cells.obs["label"] = cells.obs[dataset.label].astype(str)
    kept = ~cells.obs["label"].isin(NOT_LABELS)
    for column, values in dataset.config.get("cells", {}).items():
        kept &= cells.obs[column].isin(values)
    return cells[kept.to_numpy()].copy()


def measure(reference: ad.AnnData, query: ad.AnnData, seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy and macro-F1 of each head and of their mean, on labels that the reference has."""
    sizes = reference.obs["label"].value_counts()
    labels = sorted(sizes.index[sizes >= MIN_CELLS])
    reference = reference[reference.obs["label"].isin(labels).to_numpy()]
    codes = np.searchsorted(labels, reference.obs["label"])
    part = split(codes, seed)
    counts, asked = on_chosen_genes(reference, query, part == 0)
    learned, held_out = ((counts[part == which], codes[part == which]) for which in (0, 1))
    heads = {name: train(*learned, held_out, n_labels=len(labels)) for name, train in ON_COUNTS.items()}
    found = {name: answers(head, held_out, asked) for name, head in heads.items()}
    found[MIXED] = sum(found.values()) / len(found)
    alone = ExpressionHead.train(*learned, n_labels=len(labels), normalize=True)
    found = {FIXED: answers(alone, held_out, asked), **found}
    truth = query.obs["label"].to_numpy()
    enough = query.obs["label"].value_counts()
    scored = np.isin(truth, [label for label in labels if enough.get(label, 0) >= MIN_CELLS])
    scores = {}
    for name, probabilities in found.items():
        best = np.array(labels, dtype=object)[probabilities.argmax(axis=1)]
        result = summary(Counter(zip(truth[scored], best[scored], strict=True)))
        scores[name] = (result.accuracy, result.macro_f1)
    return scores


def on_chosen_genes(
    reference: ad.AnnData, query: ad.AnnData, learned: np.ndarray
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Counts of both sides, of the genes most variable among the training cells (mask)."""
    asked = set(query.var_names)
    genes = [gene for gene in reference.var_names if gene in asked]
    reference, query = reference[:, genes], query[:, genes]
    if len(genes) > N_GENES:
        chosen = sc.pp.highly_variable_genes(
            reference[learned].copy(), flavor="seurat_v3", n_top_genes=N_GENES, inplace=False
        )["highly_variable"].to_numpy()
        reference, query = reference[:, chosen], query[:, chosen]
    return sparse.csr_matrix(reference.X), sparse.csr_matrix(query.X)


def split(codes: np.ndarray, seed: int) -> np.ndarray:
    """0 for training cells, 1 for a held-out tenth of each label, 2 for an unused tenth."""
    rng = np.random.default_rng(seed)
    part = np.zeros(len(codes), dtype=int)
    for code in np.unique(codes):
        cells = rng.permutation(np.flatnonzero(codes == code))
        held = max(1, round(len(cells) / 10))
        part[cells[:held]], part[cells[held : 2 * held]] = 1, 2
    return part


def answers(
    head: ExpressionHead, held_out: tuple[sparse.csr_matrix, np.ndarray], asked: sparse.csr_matrix
) -> np.ndarray:
    """Tempered probabilities of the query's cells."""
    temperature = fitted_temperature(head.probabilities(held_out[0]), held_out[1])
    return tempered(head.probabilities(asked), temperature)


def page(scores: dict[str, dict[str, tuple[float, float]]], seed: int) -> str:
    """The table: accuracy / macro-F1, their means, and the worst gap to the best head of a pair."""
    names = list(next(iter(scores.values())))
    gap = dict.fromkeys(names, 0.0)
    lines = []
    for pair, found in scores.items():
        best = max(accuracy for accuracy, _ in found.values())
        gap = {name: max(gap[name], best - found[name][0]) for name in names}
        lines.append([pair, *(f"{three(found[name][0])} / {three(found[name][1])}" for name in names)])
    means = {name: np.mean([found[name] for found in scores.values()], axis=0) for name in names}
    lines.append(["mean", *(f"{three(means[name][0])} / {three(means[name][1])}" for name in names)])
    lines.append(["worst gap", *(three(gap[name]) for name in names)])
    head = ["reference → query", FIXED, *(f"`{name}`" for name in names[1:-1]), MIXED]
    table = markdown(head, lines)
    return f"""# The heads on counts

{machine()}. `python benchmarks/views.py`, seed {seed}.

Accuracy / macro-F1 over labels of {MIN_CELLS} cells or more on both sides, without a model: the heads on
counts alone, and the mean of their tempered probabilities. *{FIXED}*: `expression` with fixed shrinkage
instead of one chosen by held-out cells, once the only head on counts. *Worst gap*: the largest difference in
accuracy between a column and the best column of a pair. Zeisel's and the tumor's are random halves of one
dataset; the others differ by laboratory, technology, condition or animal.

{table}"""


def three(value: float) -> str:
    """Three decimals without the leading zero."""
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.3f}"


def main() -> None:
    """Measure all pairs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.data:
        parser.error("name --data, or set CELLFERRY_TEST_DATA")
    scores = {}
    for pair, datasets in PAIRS.items():
        print(pair, flush=True)
        scores[pair] = measure(*(read(dataset, Path(options.data)) for dataset in datasets), options.seed)
    PAGE.write_text(page(scores, options.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
