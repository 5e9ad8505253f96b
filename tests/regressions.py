"""Models as CellTypist trains and writes them, and its formula of predictions."""

import pickle

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.preprocessing import StandardScaler


def log_cp10k(cells):
    """log1p of counts per 10,000 of all genes: cells × genes, dense."""
    counts = cells.X.toarray().astype(np.float64)
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


def train_celltypist(cells, *, sgd=False, with_mean=True, labels="cell_type"):
    """The content of a model's file, trained on cells with counts."""
    scaler = StandardScaler(with_mean=with_mean)
    scaled = np.minimum(scaler.fit_transform(log_cp10k(cells)), 10)
    classifier = (
        SGDClassifier(loss="log_loss", random_state=0) if sgd else LogisticRegression(max_iter=200)
    ).fit(scaled, cells.obs[labels].to_numpy().astype(str))
    classifier.features = cells.var_names.to_numpy().astype(object)
    details = {"date": "2026-11-30", "details": "made up", "url": "", "source": "a test", "version": "v1"}
    return {"Model": classifier, "Scaler_": scaler, "description": details}


def write_celltypist(path, model):
    path.write_bytes(pickle.dumps(model))
    return path


def celltypist_decisions(model, cells):
    """Decision scores by the model's genes that the cells have: cells × classes."""
    classifier, scaler = model["Model"], model["Scaler_"]
    here = np.isin(cells.var_names, classifier.features)
    place = {gene: column for column, gene in enumerate(classifier.features)}
    columns = [place[gene] for gene in cells.var_names[here]]
    mean = scaler.mean_[columns] if scaler.with_mean else 0
    scaled = np.minimum((log_cp10k(cells)[:, here] - mean) / scaler.scale_[columns], 10)
    scores = scaled @ classifier.coef_[:, columns].T + classifier.intercept_
    return np.column_stack([-scores, scores]) if scores.shape[1] == 1 else scores


def celltypist_answers(model, cells):
    """Best label of each cell, and probabilities: cells × classes."""
    scores = celltypist_decisions(model, cells)
    return model["Model"].classes_[scores.argmax(axis=1)], expit(scores)
