"""Detection of cells of a type that the reference lacks; writes benchmarks/novelty.md.

    python benchmarks/novelty.py --data /data    # six pairs, ten minutes on one core

A type is taken out of each reference before variable genes, scVI's model and the heads are fitted. The latent
space of leave_labels_out, in contrast, was trained on the type's cells.
"""

import argparse
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import scvi
import torch
from measuring import ROOT, machine, markdown
from scipy import sparse
from views import MIN_CELLS, PAIRS, on_chosen_genes, read, split, three

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.calibration.decision import calibrated_probabilities, decide
from cellferry.calibration.fit import HeldOutCells, learn_decision
from cellferry.calibration.mixture import prior_weights
from cellferry.calibration.novelty import entropies, ood_pvalues, p_values
from cellferry.evaluation.metrics import auroc
from cellferry.heads.label_distances import LabelDistances
from cellferry.heads.linear import LinearHead
from cellferry.heads.neighbors import NeighborsHead
from cellferry.heads.registry import ON_COUNTS, predict
from cellferry.labels.hierarchy import LabelHierarchy

PAGE = ROOT / "benchmarks" / "novelty.md"
SETS = [
    "PBMC 3k → Symphony",
    "Kang ctrl → Kang stim",
    "CEL-seq2 → Drop-seq",
    "Zeisel, 7 classes",
    "STARmap, another mouse",
    "Pancreatic tumor",
]
MIN_MISSING = 20
"""Least query cells of a label that can be taken out."""

EPOCHS, FITTED_EPOCHS = 120, 20
MIN_P = 0.005
"""The default of `prediction.min_p`."""

OLD, ENTROPY, CORRELATION, NEW = "distances", "entropy", "correlation", "`ood_pvalue`"


def middle_label(reference: ad.AnnData, query: ad.AnnData) -> str:
    """The label of median size in the query: a rule instead of a choice."""
    sizes = reference.obs["label"].value_counts()
    asked = query.obs["label"].value_counts()
    enough = [
        (n, label) for label, n in asked.items() if n >= MIN_MISSING and sizes.get(label, 0) >= MIN_CELLS
    ]
    return sorted(enough)[len(enough) // 2][1]


def latents(counts: sparse.csr_matrix, learned: np.ndarray, asked: sparse.csr_matrix, seed: int) -> list:
    """Latents of both sides; the query's are means of the fitted and the unfitted model's."""
    scvi.settings.seed = seed
    reference, query = (
        ad.AnnData(values, {"batch": [name] * values.shape[0]})
        for name, values in (("reference", counts), ("query", asked))
    )
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "batch_size": 128}
    training = reference[learned].copy()
    scvi.model.SCVI.setup_anndata(training, batch_key="batch")
    model = scvi.model.SCVI(
        training, n_latent=30, n_layers=2, gene_likelihood="nb", encode_covariates=True,
        use_layer_norm="both", use_batch_norm="none",
    )  # fmt: skip
    model.train(EPOCHS, train_size=1.0, plan_kwargs={"lr": 2e-3, "n_epochs_kl_warmup": 60}, **quiet)
    unfitted = query.copy()
    unfitted.obs["batch"] = "reference"
    unfitted = model.get_latent_representation(unfitted)
    fitted = scvi.model.SCVI.load_query_data(query, model)
    fitted.train(FITTED_EPOCHS, train_size=1.0, plan_kwargs={"weight_decay": 0.0}, **quiet)
    return [model.get_latent_representation(reference), (unfitted + fitted.get_latent_representation()) / 2]


def judged(reference: ad.AnnData, query: ad.AnnData, missing: str, seed: int) -> SimpleNamespace:
    """Outputs for held-out cells and the query's cells from a reference without a label.

    Returns
    -------
    `labels` (the remaining ones), `truth` of the query, and for both sides, held-out cells first: `by_head`,
    `distance`, `label_distance`, `correlation` (the best with a label), `n_counts`, `n_genes`; `codes`.
    """
    sizes = reference.obs["label"].value_counts()
    labels = sorted(sizes.index[(sizes >= MIN_CELLS) & (sizes.index != missing)])
    reference = reference[reference.obs["label"].isin(labels).to_numpy()]
    codes = np.searchsorted(labels, reference.obs["label"])
    part = split(codes, seed)
    counts, asked = on_chosen_genes(reference, query, part == 0)
    of_reference, of_query = latents(counts, part == 0, asked, seed)
    learned, held_out = ((counts[part == which], codes[part == which]) for which in (0, 1))
    heads = {name: train(*learned, held_out, n_labels=len(labels)) for name, train in ON_COUNTS.items()}
    near = of_reference[part == 0]
    heads["linear"] = LinearHead.train(near, learned[1])
    heads["neighbors"] = NeighborsHead.train(
        near, learned[1], of_reference[part == 1], n_neighbors=15, n_labels=len(labels)
    )
    distances = LabelDistances.train(near, learned[1], n_labels=len(labels))
    sides = []
    for values, places in ((held_out[0], of_reference[part == 1]), (asked, of_query)):
        side = {"by_head": predict(heads, places, values), "distance": heads["neighbors"].vote(places)[1]}
        side["label_distance"] = distances.nearest(places)
        side["correlation"] = heads["expression_ranks"].correlations(values).max(axis=1)
        side |= {"n_counts": values.sum(axis=1).A1, "n_genes": np.diff(values.indptr)}
        sides.append(SimpleNamespace(**side))
    return SimpleNamespace(labels=labels, truth=query.obs["label"].to_numpy(), codes=held_out[1], sides=sides)


def separation(cells: SimpleNamespace, missing: str) -> dict:
    """AUROC of each score; shares of unknown, known and correctly labeled cells with a small p-value."""
    held_out, query = cells.sides
    names = list(held_out.by_head)
    hierarchy = LabelHierarchy([], {}, cells.labels)
    decision = learn_decision(
        HeldOutCells(cells.codes, *(getattr(held_out, name) for name in HeldOutCells._fields[1:6])),
        SimpleNamespace(labels=cells.labels, hierarchy=hierarchy),
        donors=np.full(len(cells.codes), -1),
        prior=prior_weights(names, intensities=False),
        max_error=0.05,
        made_from={},
    )
    probabilities = calibrated_probabilities(decision, query.by_head)
    p = ood_pvalues(decision.novelty, probabilities, query)
    tails = decision.novelty
    larger = np.maximum(
        p_values(tails.distance, query.distance), p_values(tails.label_distance, query.label_distance)
    )
    scores = {
        OLD: -larger,
        ENTROPY: entropies(probabilities),
        CORRELATION: -query.correlation,
        NEW: -p,
    }
    known, unknown = np.isin(cells.truth, cells.labels), cells.truth == missing
    none = np.zeros(len(p), dtype=bool)
    decided = decide(probabilities, p, none, hierarchy, decision, min_p=0.0)
    right = decided["label"] == cells.truth
    found = {name: auroc(np.sort(score[known]), score[unknown]) for name, score in scores.items()}
    for name, values in ((OLD, larger), (NEW, p)):
        found |= {f"{name}, known": np.mean(values[known] < MIN_P)}
        found |= {f"{name}, unknown": np.mean(values[unknown] < MIN_P)}
        found |= {f"{name}, right": np.mean(values[right] < MIN_P) if right.any() else 0.0}
    return found | {"missing": missing, "cells": int(unknown.sum()), "held out": len(cells.codes)}


def page(scores: dict[str, dict], seed: int) -> str:
    """The table, with the means of its columns."""
    names = [OLD, ENTROPY, CORRELATION, NEW]
    shares = [f"{name}, {which}" for name in (OLD, NEW) for which in ("unknown", "known", "right")]
    head = ["reference → query", "without", "cells of it", "held-out cells", *names, *shares]
    rows = []
    for pair, found in scores.items():
        numbers = [three(found[name]) for name in (*names, *shares)]
        rows.append([pair, found["missing"], str(found["cells"]), str(found["held out"]), *numbers])
    means = [three(np.mean([found[name] for found in scores.values()])) for name in (*names, *shares)]
    rows.append(["mean", "", "", "", *means])
    left = [pair for pair in SETS if pair not in scores]
    not_measured = f"\nNot measured: {', '.join(left)}.\n" if left else ""
    table = markdown(head, rows)
    return f"""# Cells of a type that the reference lacks

{machine()}. `python benchmarks/novelty.py`, seed {seed}.

A type is taken out of the reference before genes are chosen and models are trained: the one of median size
among those with {MIN_MISSING} cells in the query. scVI of {EPOCHS} epochs; the default heads, without
XGBoost.

AUROC of the type's cells in the query against its cells of known labels: *distances*, the larger p-value
of the two distances in the latent space; *entropy* of the calibrated probabilities; *correlation*, minus
the best rank correlation with a label; *`ood_pvalue`*, which combines distances and entropy.

Then, by distances alone and by `ood_pvalue`, the shares with a p-value below {MIN_P}: of the type's cells,
of those of known labels, and of those that would otherwise get their right label. The expected share is
{MIN_P} for cells like the held-out ones, and larger in another laboratory or condition.

{table}{not_measured}"""


def main() -> None:
    """Measure all pairs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.data:
        parser.error("name --data, or set CELLFERRY_TEST_DATA")
    torch.set_num_threads(1)
    scores = {}
    for pair in SETS:
        print(pair, flush=True)
        sides = [read(dataset, Path(options.data)) for dataset in PAIRS[pair]]
        missing = middle_label(*sides)
        scores[pair] = separation(judged(*sides, missing, options.seed), missing)
    PAGE.write_text(page(scores, options.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
