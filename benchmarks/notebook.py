"""Time of a notebook in memory, beside the workflow on the same files.

    python benchmarks/notebook.py --cells 50000 200000 --work /scratch/notebook

Both on one core, with the settings of scale.py: reading, choosing and subsetting genes, as many epochs of
scVI on the reference and of surgery on the query, latents, six classifiers, and the same files written.
Writes benchmarks/notebook.md.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import scale
from measuring import ROOT, machine, run_measured

PAGE = ROOT / "benchmarks" / "notebook.md"
N_GENES = scale.SETTINGS["genes"]["n_variable"]
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.1
TRAINING_CELLS = 20_000
"""Training cells of the heads on expression, as in the workflow."""

INTRODUCTION = """# Workflow and notebook

A notebook's analysis of the files of [scale.md](scale.md) in memory ([notebook.py](notebook.py): anndata,
scanpy, scvi-tools, XGBoost and scikit-learn; equal numbers of genes, epochs and trees, the same kinds of
classifiers and output files; no calibration, no report), beside the workflow (`profiles/local`). Both on one
core.

Command: `python benchmarks/notebook.py --cells {cells} --work FOLDER`. Machine: {machine}.

| query cells | notebook, s | MiB | workflow, s | largest job, MiB | times as long |
| --- | --- | --- | --- | --- | --- |
"""


def make_data(folder: Path, cells: int) -> None:
    """Write the files of scale.py, and its configuration with default chunks."""
    scale.make_data(folder, cells)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for dataset in config["datasets"].values():
        del dataset["chunks"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the time of a step on standard error."""
    start = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def notebook(folder: Path) -> None:
    """Run all steps, one after the other."""
    import anndata as ad
    import pandas as pd
    import scanpy as sc
    import scvi
    import torch

    torch.set_num_threads(1)
    scvi.settings.seed = 0
    with timed("read"):
        reference, query = (ad.read_h5ad(folder / f"{name}.h5ad") for name in ("reference", "query"))
    with timed("genes"):
        sketch = reference[np.random.default_rng(0).permutation(reference.n_obs)[:20_000]].copy()
        sc.pp.highly_variable_genes(sketch, n_top_genes=N_GENES, flavor="seurat_v3")
        genes = sketch.var_names[sketch.var["highly_variable"]].intersection(query.var_names)
        reference, query = reference[:, genes].copy(), query[:, genes].copy()
    rng = np.random.default_rng(0)
    part = rng.choice(3, reference.n_obs, p=[1 - VALIDATION_SHARE - TEST_SHARE, VALIDATION_SHARE, TEST_SHARE])
    train, validation = reference[part == 0].copy(), reference[part == 1].copy()
    with timed("train"):
        scvi.model.SCVI.setup_anndata(train, batch_key="sample")
        model = scvi.model.SCVI(
            train,
            n_layers=2,
            n_latent=30,
            encode_covariates=True,
            deeply_inject_covariates=False,
            use_layer_norm="both",
            use_batch_norm="none",
        )
        epochs, batch_size = scale.SETTINGS["model"]["epochs"], scale.SETTINGS["model"]["batch_size"]
        model.train(
            max_epochs=epochs,
            batch_size=batch_size,
            train_size=0.95,
            enable_progress_bar=False,
            accelerator="cpu",
        )
    with timed("fit"):
        fitted = scvi.model.SCVI.load_query_data(query, model)
        drawn = rng.permutation(query.n_obs)[:20_000]
        small = scvi.model.SCVI.load_query_data(query[drawn].copy(), model)
        small.train(
            max_epochs=scale.SETTINGS["surgery"]["epochs"],
            enable_progress_bar=False,
            accelerator="cpu",
            plan_kwargs={"weight_decay": 0.0},
        )
        fitted.module.load_state_dict(small.module.state_dict())
        fitted.is_trained = True
    with timed("map"):
        latents = {
            "train": model.get_latent_representation(train),
            "validation": model.get_latent_representation(validation),
            "query": fitted.get_latent_representation(query),
        }
    labels = train.obs["cell_type"].astype("category").cat.categories
    codes = {
        name: pd.Categorical(cells.obs["cell_type"], labels).codes.astype(int)
        for name, cells in (("train", train), ("validation", validation))
    }
    answers = classify(train, query, latents, codes, rng)
    with timed("write"):
        table = {"cell": query.obs_names}
        for name, probabilities in answers.items():
            table[f"{name}_label"] = np.asarray(labels)[probabilities.argmax(axis=1)]
            table[f"{name}_probability"] = probabilities.max(axis=1).astype(np.float32)
        mean = sum(answers.values()) / len(answers)
        table |= {"label": np.asarray(labels)[mean.argmax(axis=1)], "probability": mean.max(axis=1)}
        table = pd.DataFrame(table).set_index("cell")
        table.to_parquet(folder / "notebook.parquet")
        table.to_csv(folder / "notebook.csv.gz")
        query.obs = query.obs.join(table)
        query.obsm["X_scvi"] = latents["query"]
        query.write_h5ad(folder / "notebook.h5ad", compression="gzip")
    right = (table["label"].to_numpy() == query.obs["cell_type"].to_numpy()).mean()
    print(f"accuracy {right:.3f}", file=sys.stderr)


def classify(train, query, latents: dict, codes: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Train the workflow's six default kinds of classifiers, by libraries."""
    import scanpy as sc
    import xgboost
    from accuracy_others import centered_ranks
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    answers = {}
    with timed("xgboost"):
        n_trees = scale.SETTINGS["prediction"]["n_trees"]
        trees = xgboost.XGBClassifier(n_estimators=n_trees, max_depth=6, early_stopping_rounds=20, n_jobs=1)
        held_out = [(latents["validation"], codes["validation"])]
        trees.fit(latents["train"], codes["train"], eval_set=held_out, verbose=False)
        answers["xgboost"] = trees.predict_proba(latents["query"])
    with timed("linear"):
        answers["linear"] = (
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            .fit(latents["train"], codes["train"])
            .predict_proba(latents["query"])
        )
    with timed("neighbors"):
        neighbors = KNeighborsClassifier(n_neighbors=15, weights="distance", n_jobs=1)
        answers["neighbors"] = neighbors.fit(latents["train"], codes["train"]).predict_proba(latents["query"])
    with timed("expression"):
        some = rng.permutation(train.n_obs)[:TRAINING_CELLS]
        learned, asked = train[some].copy(), query.copy()
        for cells in (learned, asked):
            sc.pp.normalize_total(cells, target_sum=1e4)
            sc.pp.log1p(cells)
        scaler = StandardScaler(with_mean=False)
        regression = LogisticRegression(C=0.01, max_iter=200)
        regression.fit(scaler.fit_transform(learned.X), codes["train"][some])
        answers["expression"] = regression.predict_proba(scaler.transform(asked.X))
    with timed("expression_pca"):
        axes = PCA(50, svd_solver="arpack", random_state=0).fit(learned.X)
        regression = LogisticRegression(max_iter=1000).fit(axes.transform(learned.X), codes["train"][some])
        answers["expression_pca"] = np.concatenate(
            [
                regression.predict_proba(axes.transform(asked.X[i : i + 10_000]))
                for i in range(0, asked.n_obs, 10_000)
            ]
        )
    with timed("ranks"):
        n_labels = answers["linear"].shape[1]
        means = np.stack(
            [
                np.asarray(learned.X[codes["train"][some] == code].mean(axis=0)).ravel()
                for code in range(n_labels)
            ]
        )
        chosen = np.flatnonzero(means.std(axis=0) >= np.sort(means.std(axis=0))[-600])
        profiles = centered_ranks(means[:, chosen])
        found = [
            centered_ranks(asked.X[start : start + 5_000, chosen].toarray()) @ profiles.T
            for start in range(0, asked.n_obs, 5_000)
        ]
        logits = np.concatenate(found) / 0.05
        logits -= logits.max(axis=1, keepdims=True)
        answers["ranks"] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return answers


def main() -> None:
    """Measure both, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and results")
    parser.add_argument("--notebook", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.notebook:
        notebook(options.notebook)
        return
    lines = []
    for cells in options.cells:
        folder = options.work.resolve() / str(cells)
        folder.mkdir(parents=True, exist_ok=True)
        make_data(folder, cells)
        command = [sys.executable, __file__, "--work", folder, "--notebook", folder]
        alone = run_measured(command, limit_mb=20_000, output=folder / "notebook.txt")
        if alone["outcome"] != "ok":
            raise SystemExit(f"the notebook: {alone['outcome']}")
        seconds, _ = scale.run_workflow(folder)
        peak = max(row["peak_mb"] for row in scale.job_rows(folder))
        numbers = [f"{alone['seconds']:,.0f}", f"{alone['peak_mb']:,.0f}", f"{seconds:,.0f}", f"{peak:,.0f}"]
        line = [f"{cells:,}", *numbers, f"{seconds / alone['seconds']:.2f}"]
        lines.append("| " + " | ".join(line) + " |\n")
        print(lines[-1], end="", flush=True)
    about = {"cells": " ".join(map(str, options.cells)), "machine": machine()}
    PAGE.write_text(INTRODUCTION.format(**about) + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
