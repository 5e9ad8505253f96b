"""Cells with marker genes per label, their predictions, and the script that scores these."""

import numpy as np
import pandas as pd
from cellferry.artifacts.evaluation import Evaluation
from cellferry.artifacts.h5ad_writer import H5adWriter
from cellferry.artifacts.json_files import read_artifact
from cellferry.resources.budget import Budget
from evaluate import evaluate
from example_artifacts import hierarchy_of, write_classifier_labels
from scipy import sparse

KNOWN = ["B", "NK", "T"]
HEADS = ["xgboost", "linear", "neighbors"]


def write_common(path, labels, rng):
    """Cells of labels with ten marker genes each."""
    codes = pd.factorize(labels, sort=True)[0]
    rates = np.full((len(labels), 40), 0.5)
    for row, code in enumerate(codes):
        rates[row, 10 * code : 10 * code + 10] = 4
    counts = sparse.csr_matrix(rng.poisson(rates).astype(np.float32))
    names = np.array([f"cell{row}" for row in range(len(labels))], dtype=object)
    with H5adWriter(path, pd.DataFrame(index=[f"g{n}" for n in range(40)])) as file:
        file.append(counts, names, {"batch": np.array(["a"] * len(labels), object), "label": labels})
    return names


RARE, COARSE, FOREIGN = "Treg", "lymphocyte", "HSC"


def write_labels(folder, levels=None):
    """The reference's labels: three, and a rare one."""
    write_classifier_labels(folder / "classifier", hierarchy_of(KNOWN, levels, rare=[RARE]), HEADS)


def as_predictions(frame):
    """Columns that predictions have besides labels and probabilities, as for a certain label."""
    columns = {"level": np.where(frame["label"] == "unknown", None, "label")}
    columns["reason"] = np.where(frame["label"] == "unknown", "ambiguous", None)
    columns["prediction_set"] = frame["best_label"]
    columns["ood_pvalue"] = frame["probability"]
    columns["distance"] = 1 - frame["probability"]
    for head in HEADS:
        columns |= {f"{head}_label": frame["best_label"], f"{head}_probability": frame["probability"]}
    return frame.assign(**{name: values for name, values in columns.items() if name not in frame})


def run(folder, **changed):
    paths = {"predictions": "query.parquet", "reference": "reference.h5ad", "common": "query.h5ad"}
    paths |= {"classifier": "classifier"} | changed
    evaluate(
        **{key: name and str(folder / name) for key, name in paths.items()},
        evaluation=str(folder / "query.json"),
        seed=0,
        budget=Budget(2000),
    )
    return read_artifact(Evaluation, folder / "query.json")
