"""Classifiers trained on natural and on balanced labels; writes benchmarks/rare_labels.md.

    python benchmarks/rare_labels.py --data /data    # an hour on a core

References, genes and parts are those of views.py, three splits each. A label is rare here if it has at most
30 training cells. scVI is trained with the workflow's settings, scANVI on top of it: once with scvi-tools'
loss, once with a loss that weights all labels the same. Queries are mapped without fitting.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import torch
from lightning import LightningDataModule
from measuring import ROOT, machine, markdown
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, RandomSampler
from views import MIN_CELLS, PAIRS, on_chosen_genes, read, split, three

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.config.schema import fill_defaults
from cellferry.config.settings import ModelSettings
from cellferry.evaluation.metrics import label_scores, summary
from cellferry.heads import boosting, shrinkage
from cellferry.heads.boosted_trees import XGBoostHead
from cellferry.heads.registry import ON_COUNTS
from cellferry.model.plain_arrays import encoder_of, scanvi_classifier
from cellferry.model.scvi_models import (
    balance_labels,
    new_model,
    scanvi_from_scvi,
    set_up_torch,
    skeleton,
    train,
)
from cellferry.resources.schedule import minibatch_size, reference_epochs, refining_epochs

PAGE = ROOT / "benchmarks" / "rare_labels.md"
MAX_RARE = 30
"""Most training cells of a rare label."""

MIN_RARE = 3
"""Least rare labels of a pair: fewer show nothing."""

NATURAL, BALANCED = "as frequent as they are", "balanced"
BATCH = "one"

Scores = tuple[float, float, float]
"""Accuracy, macro-F1, and the mean recall of rare labels."""


class InMemory(LightningDataModule):
    """Minibatches of a small reference, drawn at random.

    Parameters
    ----------
    counts, codes
        Cells × genes, and each cell's label as the model's code.
    batch_size, seed
        Cells of a minibatch, and seed of the draws.
    """

    def __init__(self, counts: sparse.csr_matrix, codes: np.ndarray, *, batch_size: int, seed: int) -> None:
        super().__init__()
        cells = range(len(codes))
        sampler = RandomSampler(cells, generator=torch.Generator().manual_seed(seed))
        self.n_train = len(codes)
        self._loader = DataLoader(
            cells, batch_size, sampler=sampler, collate_fn=partial(minibatch, counts, codes)
        )

    def train_dataloader(self) -> DataLoader:
        """The minibatches of an epoch."""
        return self._loader


def minibatch(counts: sparse.csr_matrix, codes: np.ndarray, rows: list[int]) -> dict[str, Any]:
    """Cells as input of scvi-tools' modules."""
    return {
        "X": torch.from_numpy(counts[rows].toarray()),
        "batch": torch.zeros(len(rows), 1, dtype=torch.int64),
        "labels": torch.from_numpy(codes[rows].astype(np.int64)).unsqueeze(1),
        "extra_categorical_covs": None,
        "extra_continuous_covs": None,
    }


def trained(counts: sparse.csr_matrix, codes: np.ndarray, labels: list[str], seed: int) -> dict[str, Any]:
    """A scVI model of the cells, and scANVI models made from it, by weights of labels."""
    config = {"datasets": {}}
    fill_defaults(config)
    settings = ModelSettings(**config["model"])
    set_up_torch(threads=1, seed=seed, gpu=0)
    genes = [f"gene_{gene}" for gene in range(counts.shape[1])]
    model = new_model(skeleton(genes, [BATCH], labels), settings)
    batch_size = minibatch_size(settings.batch_size, len(codes))
    epochs = reference_epochs(settings.epochs, len(codes))

    def fit(model: Any, epochs: int, *, balanced: bool = False) -> None:
        names = model.adata_manager.get_state_registry("labels")["categorical_mapping"]
        place = {str(name): code for code, name in enumerate(names)}
        of_model = np.array([place.get(label, 0) for label in labels])[codes]
        if balanced:
            balance_labels(model, np.bincount(of_model, minlength=model.n_labels))
        cells = InMemory(counts, of_model, batch_size=batch_size, seed=seed)
        train(
            model,
            max_epochs=epochs,
            datamodule=cells,
            accelerator="cpu",
            devices=1,
            plan_kwargs={"lr": settings.learning_rate},
            enable_progress_bar=False,
        )

    fit(model, epochs)
    found = {"scvi": model}
    for how in (NATURAL, BALANCED):
        set_up_torch(threads=1, seed=seed, gpu=0)
        found[how] = scanvi_from_scvi(model)
        fit(found[how], refining_epochs(settings.scanvi_epochs, epochs), balanced=how == BALANCED)
    return found


@contextmanager
def weighted(how: str) -> Iterator[None]:
    """Make the classifiers weight labels evenly, or not."""
    kept = shrinkage._fit, boosting.balanced_weights
    weight = "balanced" if how == BALANCED else None

    def regression(values: Any, codes: np.ndarray, coarse: None, **settings: float) -> LogisticRegression:
        return LogisticRegression(max_iter=500, class_weight=weight, **settings).fit(values, codes)

    shrinkage._fit = regression
    if how == NATURAL:
        boosting.balanced_weights = lambda codes, n_labels: np.ones(n_labels, dtype=np.float32)
    try:
        yield
    finally:
        shrinkage._fit, boosting.balanced_weights = kept


def measure(reference: ad.AnnData, query: ad.AnnData, seed: int) -> dict[tuple[str, str], Scores] | None:
    """Scores of each classifier by weights of labels; None for too few rare labels."""
    sizes = reference.obs["label"].value_counts()
    labels = sorted(sizes.index[sizes >= MIN_CELLS])
    reference = reference[reference.obs["label"].isin(labels).to_numpy()]
    codes = np.searchsorted(labels, reference.obs["label"])
    part = split(codes, seed)
    learned = codes[part == 0]
    rare = {label for label, n in zip(labels, np.bincount(learned), strict=True) if n <= MAX_RARE}
    rare &= set(query.obs["label"])
    if len(rare) < MIN_RARE:
        return None
    counts, asked = on_chosen_genes(reference, query, part == 0)
    held_out = counts[part == 1], codes[part == 1]
    truth = query.obs["label"].to_numpy()
    known = np.isin(truth, labels)

    def scored(probabilities: np.ndarray) -> Scores:
        best = np.array(labels, dtype=object)[probabilities.argmax(axis=1)]
        pairs = Counter(zip(truth[known], best[known], strict=True))
        overall, each = summary(pairs), label_scores(pairs, sorted(rare))
        return overall.accuracy, overall.macro_f1, float(np.mean([one.recall for one in each.values()]))

    found = {}
    for how in (NATURAL, BALANCED):
        with weighted(how):
            for name, train_head in ON_COUNTS.items():
                head = train_head(counts[part == 0], learned, held_out, n_labels=len(labels))
                found[name, how] = scored(head.probabilities(asked))
    models = trained(counts[part == 0], learned, labels, seed)
    latents = partial(mapped, models["scvi"])
    of_query, of_learned, of_held_out = latents(asked), latents(counts[part == 0]), latents(held_out[0])
    for how in (NATURAL, BALANCED):
        head = scanvi_classifier(models[how]).among(labels)
        found["scanvi", how] = scored(head.probabilities(mapped(models[how], asked)))
        with weighted(how):
            trees = XGBoostHead.train(
                of_learned,
                learned,
                (of_held_out, held_out[1]),
                n_labels=len(labels),
                n_trees=800,
                max_depth=10,
                learning_rate=0.05,
                threads=1,
                seed=seed,
            )
            found["xgboost", how] = scored(trees.probabilities(of_query))
        found["linear", how] = scored(regression_on(of_learned, learned, how)(of_query))
    return found


def mapped(model: Any, counts: sparse.csr_matrix) -> np.ndarray:
    """Latents of cells, all of one batch."""
    encoder = encoder_of(model).for_batches([BATCH])
    return encoder.latents(counts, np.zeros(counts.shape[0], dtype=np.int32))[0]


def regression_on(latents: np.ndarray, codes: np.ndarray, how: str) -> Callable[[np.ndarray], np.ndarray]:
    """The linear head's regression with these weights of labels."""
    mean, scale = latents.mean(axis=0), latents.std(axis=0)
    model = LogisticRegression(class_weight="balanced" if how == BALANCED else None, max_iter=1000)
    model.fit((latents - mean) / scale, codes)
    return lambda cells: model.predict_proba((cells - mean) / scale)


def page(scores: dict[str, list[dict[tuple[str, str], Scores]]], splits: list[int]) -> str:
    """The table: accuracy, macro-F1 and recall of rare labels, natural → balanced, mean of the splits."""
    heads = list(dict.fromkeys(name for name, _ in next(iter(scores.values()))[0]))
    rows = []
    everything = [result for results in scores.values() for result in results]
    for name, found in [*scores.items(), ("mean", everything)]:
        for classifier in heads:
            both = [np.mean([each[classifier, how] for each in found], axis=0) for how in (NATURAL, BALANCED)]
            cells = [f"{three(a)} → {three(b)}" for a, b in zip(*both, strict=True)]
            rows.append([name, f"`{classifier}`", *cells])
    head = ["reference → query", "classifier", "accuracy", "macro-F1", "recall of rare labels"]
    table = markdown(head, rows)
    return f"""# Rare labels in training

{machine()}. `python benchmarks/rare_labels.py`, splits {", ".join(map(str, splits))}.

Labels {NATURAL} → {BALANCED}, by weights of cells (ranks have no weights). Means of the splits. *Rare*: a
label with at most {MAX_RARE} training cells. Queries are mapped without fitting.

{table}"""


def main() -> None:
    """Measure all pairs with rare labels and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("CELLFERRY_TEST_DATA"), help="the real data")
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2], help="seeds of the splits")
    options = parser.parse_args()
    if not options.data:
        parser.error("name --data, or set CELLFERRY_TEST_DATA")
    scores = {}
    for pair, datasets in PAIRS.items():
        both = [read(dataset, Path(options.data)) for dataset in datasets]
        found = [result for seed in options.splits if (result := measure(*both, seed))]
        if found:
            scores[pair] = found
            PAGE.write_text(page(scores, options.splits), encoding="utf-8")
            print(PAGE.read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
