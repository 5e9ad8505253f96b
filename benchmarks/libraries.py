"""Hand-written parts beside equivalent libraries: seconds, equality, time of imports.

    python benchmarks/libraries.py    # writes libraries.md

One process on one core; ways take turns, the best of three runs counts. faiss (faiss-cpu) and
pynndescent are not requirements of the project, and left out if they are not installed.
"""

import importlib.util
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import xgboost
from measuring import ROOT, machine, on_one_core
from scipy import special
from sklearn import metrics as sklearn_metrics
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(ROOT / "scripts"))

from cellferry.evaluation.metrics import label_scores, summary
from cellferry.heads.forest import Forest
from cellferry.heads.nearest import NearestCells, grouped

PAGE = ROOT / "benchmarks" / "libraries.md"
RUNS = 3
LABELS, LATENTS, NEIGHBORS = 20, 30, 15
REFERENCE, QUERY = 20_000, 10_000
ROUNDS = 100
DEPTHS = (6, 9)
"""Depths for small references, and for ten thousand cells per label."""
IMPORTS = ("numpy", "scipy.special", "sklearn.metrics", "numba", "xgboost", "faiss", "pynndescent")

Row = tuple[str, str, float, str]
"""Part, way, seconds, and its results beside the first way's."""


def is_installed(package: str) -> bool:
    """True if a package can be imported."""
    return importlib.util.find_spec(package) is not None


def seconds(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each way's best run; ways take turns."""
    best = dict.fromkeys(ways, np.inf)
    for _ in range(RUNS):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def simulated_latents(n_cells: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Latents of cells around a center per label (cells × latents, float32), and label codes."""
    centers = np.random.default_rng(0).normal(size=(LABELS, LATENTS)) * 2
    codes = rng.integers(0, LABELS, n_cells)
    return (centers[codes] + rng.normal(size=(n_cells, LATENTS))).astype(np.float32), codes


def scores() -> Iterator[Row]:
    """Precision, recall, F1 and accuracy of counted pairs."""
    names = [f"label {number}" for number in range(LABELS)]
    rng = np.random.default_rng(1)
    pairs = Counter({(a, b): int(rng.integers(1, 1000)) for a in names for b in names})
    truth, predicted = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    weights = np.array(list(pairs.values()))

    def ours() -> np.ndarray:
        found = label_scores(pairs, names)
        rows = [[found[name].precision, found[name].recall, found[name].f1] for name in names]
        return np.append(np.ravel(rows), summary(pairs).accuracy)

    def theirs() -> np.ndarray:
        by_label = sklearn_metrics.precision_recall_fscore_support(
            truth, predicted, labels=names, sample_weight=weights, zero_division=0
        )
        accuracy = sklearn_metrics.accuracy_score(truth, predicted, sample_weight=weights)
        return np.append(np.transpose(by_label[:3]).ravel(), accuracy)

    took = seconds({"ours": ours, "scikit-learn": theirs})
    largest = float(np.abs(ours() - theirs()).max())
    yield "scores of 400 pairs", "`evaluation/metrics.py`", took["ours"], ""
    yield "", "scikit-learn, `sample_weight`", took["scikit-learn"], f"differ by {largest:.0e} at most"


def trees(depth: int) -> Iterator[Row]:
    """Probabilities of boosted trees."""
    x, codes = simulated_latents(20_000, np.random.default_rng(2))
    settings = {"objective": "multi:softprob", "num_class": LABELS, "max_depth": depth, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(x, codes), num_boost_round=ROUNDS)
    cells, _ = simulated_latents(QUERY, np.random.default_rng(3))
    forest = Forest.of(booster)
    forest.probabilities(cells[:1000])  # compiles
    took = seconds(
        {
            "made": lambda: Forest.of(booster),
            "ours": lambda: forest.probabilities(cells),
            "inplace_predict": lambda: booster.inplace_predict(cells),
        }
    )
    same = np.array_equal(forest.probabilities(cells), booster.inplace_predict(cells))
    largest = np.abs(forest.probabilities(cells) - booster.inplace_predict(cells)).max()
    compared = "the same bits" if same else f"differ by {largest:.0e} at most"
    part = f"{ROUNDS} rounds of {LABELS} labels, depth {depth}, {QUERY:,} cells"
    yield part, "`heads/forest.py`", took["ours"], ""
    yield "", "reading its trees, once per job", took["made"], ""
    yield "", "`Booster.inplace_predict`", took["inplace_predict"], compared


def neighbors() -> Iterator[Row]:
    """The nearest reference cells."""
    reference, _ = simulated_latents(REFERENCE, np.random.default_rng(4))
    cells, _ = simulated_latents(QUERY, np.random.default_rng(5))
    groups = grouped(reference)
    search = NearestCells(reference, groups, NEIGHBORS)
    search.search(cells[:1000])  # compiles
    ways: dict[str, Callable[[], np.ndarray]] = {"`heads/nearest.py`": lambda: search.search(cells)[0]}
    brute = NearestNeighbors(n_neighbors=NEIGHBORS, algorithm="brute", n_jobs=1).fit(reference)
    ways["scikit-learn, brute force"] = lambda: brute.kneighbors(cells, return_distance=False)
    if is_installed("faiss"):
        import faiss

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatL2(LATENTS)
        flat.add(reference)
        lists = len(np.unique(groups))
        centers = faiss.IndexFlatL2(LATENTS)  # must stay referenced
        inverted = faiss.IndexIVFFlat(centers, LATENTS, lists)
        inverted.train(reference)
        inverted.add(reference)
        inverted.nprobe = 5
        ways["faiss, IndexFlatL2"] = lambda: flat.search(cells, NEIGHBORS)[1]
        ways["faiss, IndexIVFFlat of as many lists, nprobe 5"] = lambda: inverted.search(cells, NEIGHBORS)[1]
    if is_installed("pynndescent"):
        import pynndescent

        descent = pynndescent.NNDescent(reference, n_neighbors=30, random_state=0, n_jobs=1)
        descent.prepare()
        descent.query(cells[:1000], k=NEIGHBORS)
        ways["pynndescent"] = lambda: descent.query(cells, k=NEIGHBORS)[0]
    took = seconds(ways)
    exact = np.sort(ways["scikit-learn, brute force"](), axis=1)
    part = f"{NEIGHBORS} of {REFERENCE:,} reference cells, {QUERY:,} cells"
    for name, work in ways.items():
        rows = work()
        recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(rows, exact, strict=True)]) / NEIGHBORS
        yield part, name, took[name], f"{recall:.2%} of the nearest"
        part = ""


def exponentials() -> Iterator[Row]:
    """Probabilities from logits; the workflow uses scipy's."""
    logits = (np.random.default_rng(6).normal(size=(65_536, LABELS)) * 5).astype(np.float32)

    def by_hand() -> np.ndarray:
        shifted = logits - logits.max(axis=1, keepdims=True)
        np.exp(shifted, out=shifted)
        return shifted / shifted.sum(axis=1, keepdims=True)

    took = seconds({"by hand": by_hand, "scipy": lambda: special.softmax(logits, axis=1)})
    differing = np.count_nonzero(by_hand() != special.softmax(logits, axis=1)) / logits.size
    yield f"softmax of 65,536 × {LABELS}, float32", "by hand", took["by hand"], ""
    compared = "the same bits" if not differing else f"{differing:.0%} of the values differ in the last bit"
    yield "", "`scipy.special.softmax`, used", took["scipy"], compared


def import_seconds(package: str) -> float:
    """Seconds of an import in a new Python, without its start; best of the runs."""
    program = f"import time; t = time.perf_counter(); import {package}; print(time.perf_counter() - t)"
    runs = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
        for _ in range(RUNS)
    ]
    return min(runs)


def page(rows: list[Row], imports: dict[str, float]) -> str:
    """The page: a table of the ways, and one of the imports."""
    text = f"# Hand-written parts and libraries\n\n{machine()}. `python benchmarks/libraries.py`.\n\n"
    text += "Seconds are the best of three runs that took turns; a ratio is to the first way of its part.\n\n"
    text += "| part | way | seconds | ratio | results |\n|---|---|---|---|---|\n"
    own = 0.0
    for part, way, took, compared in rows:
        own = took if part else own
        text += f"| {part} | {way} | {took:.4g} | {took / own:.2f} | {compared} |\n"
    text += "\nTime of an import in a new process, with numpy's:\n\n| package | seconds |\n|---|---|\n"
    return text + "".join(f"| `{package}` | {took:.2f} |\n" for package, took in imports.items())


def main() -> None:
    """Measure all parts and write the page."""
    on_one_core()
    with threadpool_limits(1):
        rows = [*scores(), *(row for depth in DEPTHS for row in trees(depth)), *neighbors(), *exponentials()]
    imports = {name: import_seconds(name) for name in IMPORTS if is_installed(name.partition(".")[0])}
    PAGE.write_text(page(rows, imports), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
