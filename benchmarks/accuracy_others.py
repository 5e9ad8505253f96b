"""Other methods that label the cells of a run, with its training cells and genes."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy_pairs import Run
from accuracy_runs import RunError, is_newer, run_folder, scored_parts
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.evaluation.baseline import expression_of
from measuring import ROOT
from scipy.stats import rankdata
from sklearn.neighbors import KNeighborsClassifier

HERE = ROOT / "benchmarks"
REQUIREMENTS = HERE / "celltypist.txt"
IN_CELLTYPIST, IN_MEMORY = "celltypist", "in_memory"
"""Folders of the predicted labels, a table per query."""

CELLTYPIST, CELLTYPIST_VOTE = "CellTypist", "CellTypist, majority voting"
RANKS, NEIGHBORS = "ranks after SingleR", "scVI and neighbors"
OTHERS = {
    CELLTYPIST: (IN_CELLTYPIST, "label"),
    CELLTYPIST_VOTE: (IN_CELLTYPIST, "voted"),
    RANKS: (IN_MEMORY, "ranks"),
    NEIGHBORS: (IN_MEMORY, "neighbors"),
}
"""Folder and column of each method's labels."""

N_NEIGHBORS = 15
QUANTILE, NEAR = 0.8, 0.05
"""SingleR's: quantile of a label's correlations; labels this near the best are compared again."""
CELLS_OF_A_LABEL = 500
CELLS_AT_ONCE = 500


def label_by_others(run: Run, seed: int, work: Path, tools: Path) -> None:
    """Label a run's held-out test and mixed queries by all methods, unless finished.

    `tools` is the folder with CellTypist's environment.
    """
    folder = run_folder(work, run, seed)
    common = [folder / "results" / "common" / f"{part}.h5ad" for part in ("reference", *scored_parts(run))]
    latents = [path for part in ("reference", *scored_parts(run)) for path in mapped_chunks(folder, part)]
    if not is_newer(folder / IN_CELLTYPIST, common):
        run_celltypist(folder, common, celltypist_python(tools))
    if not is_newer(folder / IN_MEMORY, [*common, *latents]):
        label_in_memory(folder, scored_parts(run), seed)


def celltypist_python(work: Path) -> Path:
    """Python of CellTypist's environment, made if missing or of other versions."""
    folder = work / "celltypist"
    python, made_from = folder / "bin" / "python", folder / REQUIREMENTS.name
    required = REQUIREMENTS.read_text(encoding="utf-8")
    if not made_from.exists() or made_from.read_text(encoding="utf-8") != required:
        uv = shutil.which("uv") or ROOT / ".uv" / "bin" / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, "--requirements", REQUIREMENTS]
        subprocess.run(install, check=True)
        made_from.write_text(required, encoding="utf-8")
    return python


def run_celltypist(folder: Path, files: list[Path], python: Path) -> None:
    """Train CellTypist on the first of some files, and predict the others."""
    scratch = emptied(folder / IN_CELLTYPIST)
    reference, *queries = files
    command = [python, HERE / "with_celltypist.py", reference, scratch, *queries]
    with open(folder / "celltypist.log", "w", encoding="utf-8") as log:
        finished = subprocess.run(command, stdout=log, stderr=log, check=False)
    if finished.returncode:
        raise RunError(f"CellTypist failed on {folder}; see celltypist.log there")
    scratch.rename(folder / IN_CELLTYPIST)


def emptied(done: Path) -> Path:
    """An empty folder to be renamed to `done`; older ones are removed."""
    scratch = done.with_name(f"{done.name}.unfinished")
    for old in (scratch, done):
        shutil.rmtree(old, ignore_errors=True)
    scratch.mkdir()
    return scratch


def label_in_memory(folder: Path, parts: list[str], seed: int) -> None:
    """Label cells by ranks of expression, and by neighbors in the latent space."""
    scratch = emptied(folder / IN_MEMORY)
    _, labels, expression = expression_in(folder, "reference")
    ranks = LabelRanks(expression, labels, seed=seed)
    mapped = read_latents(folder, "reference")
    neighbors = KNeighborsClassifier(min(N_NEIGHBORS, len(mapped)))
    neighbors.fit(latents_of(mapped), mapped["label"].to_numpy(dtype=str))
    for part in parts:
        cells, _, expression = expression_in(folder, part)
        mapped = read_latents(folder, part)
        if mapped["cell"].to_list() != cells.tolist():
            raise RuntimeError(f"{folder}: counts and latents of {part} are of other cells")
        answered = {"ranks": ranks.predict(expression), "neighbors": neighbors.predict(latents_of(mapped))}
        table = pd.DataFrame({"cell": cells, **answered})
        table.to_csv(scratch / f"{part}.tsv", sep="\t", index=False)
    scratch.rename(folder / IN_MEMORY)


def expression_in(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells, labels, and log1p CP10k (or markers' values): cells × genes, dense."""
    with H5adReader(folder / "results" / "common" / f"{part}.h5ad") as reader:
        rows = np.arange(reader.n_cells)
        return reader.names(), reader.obs("label"), expression_of(reader, rows).toarray()


def mapped_chunks(folder: Path, part: str) -> list[Path]:
    """Files of a part's latents, in the order of its cells."""
    chunks = (folder / "results" / "mapped" / part).glob("*.parquet")
    return sorted((path for path in chunks if path.stem.isdigit()), key=lambda path: int(path.stem))


def read_latents(folder: Path, part: str) -> pd.DataFrame:
    """Cells, labels and latents of a part."""
    return pd.concat([pd.read_parquet(path) for path in mapped_chunks(folder, part)], ignore_index=True)


def latents_of(mapped: pd.DataFrame) -> np.ndarray:
    """Latents as the workflow mapped the cells: cells × dimensions."""
    return mapped[[name for name in mapped.columns if name.startswith("latent_")]].to_numpy()


class LabelRanks:
    """Labels of the cells with the most similar ranks, after SingleR (Aran et al. 2019).

    Spearman's correlation with every cell of a label (500 at most) on genes that differ between pairs of
    labels; a label's score is the quantile .8 of these. Labels within .05 of the best are compared again, on
    the genes that differ between them.

    Parameters
    ----------
    expression
        Expression of the reference's cells: cells × genes.
    labels
        Their labels.
    seed
        Seed of the drawn cells.
    """

    def __init__(self, expression: np.ndarray, labels: np.ndarray, *, seed: int) -> None:
        self.labels, codes = np.unique(labels.astype(str), return_inverse=True)
        rng = np.random.default_rng(seed)
        cells = [np.flatnonzero(codes == code) for code in range(len(self.labels))]
        self._means = np.array([expression[rows].mean(axis=0) for rows in cells])
        drawn = [rng.choice(rows, min(CELLS_OF_A_LABEL, len(rows)), replace=False) for rows in cells]
        self._cells = [expression[np.sort(rows)] for rows in drawn]

    def predict(self, expression: np.ndarray) -> np.ndarray:
        """The label of every cell: from cells × genes."""
        everything = np.arange(len(self.labels))
        blocks = [
            self._best(expression[start : start + CELLS_AT_ONCE], everything)
            for start in range(0, len(expression), CELLS_AT_ONCE)
        ]
        return self.labels[np.concatenate(blocks)]

    def _best(self, expression: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        genes = marker_genes(self._means[candidates])
        ranks = centered_ranks(expression[:, genes])
        scores = np.empty((len(expression), len(candidates)))
        for column, code in enumerate(candidates):
            correlations = ranks @ centered_ranks(self._cells[code][:, genes]).T
            scores[:, column] = np.quantile(correlations, QUANTILE, axis=1)
        best = candidates[scores.argmax(axis=1)]
        near, which = np.unique(
            scores >= scores.max(axis=1, keepdims=True) - NEAR, axis=0, return_inverse=True
        )
        for number, kept in enumerate(near):
            if 1 < kept.sum() < len(candidates):
                rows = which.ravel() == number
                best[rows] = self._best(expression[rows], candidates[kept])
        return best


def marker_genes(means: np.ndarray) -> np.ndarray:
    """Genes with the largest differences of means, of all pairs of labels (labels × genes).

    The number per pair is SingleR's: 333 for two labels, fewer for more labels.
    """
    n_labels = len(means)
    if n_labels == 1:
        return np.arange(means.shape[1])
    n_genes = round(500 * (2 / 3) ** np.log2(n_labels))
    chosen = np.zeros(means.shape[1], dtype=bool)
    for label in range(n_labels):
        for other in range(n_labels):
            excess = means[label] - means[other]
            most = np.argsort(-excess, kind="stable")[:n_genes]
            chosen[most[excess[most] > 0]] = True
    return np.flatnonzero(chosen)


def centered_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks within each row, of mean 0 and length 1, so that products are correlations; 0 in a flat row."""
    ranks = rankdata(values, axis=1) - (values.shape[1] + 1) / 2
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)
