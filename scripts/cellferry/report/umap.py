"""Cells of the report's maps: a sketch of limited size."""

import base64

import numpy as np
import pyarrow as pa
from scranpy import run_umap

from ..artifacts.latents import count_cells, read_latents, read_rows, strings
from ..resources.memory import MAX_MAP_CELLS

MIN_CELLS = 10
"""Smallest number of cells for a map."""
NEIGHBORS = 15
SPREAD = 10
"""Largest distance from the center in the initial layout, the usual value."""
STEPS = 65535
"""Resolution of a cell's position on the page, far above the number of pixels."""
NO_PROBABILITY = 255


def map_cells(
    by_part: dict[str, list[str]], predicted: dict[str, str], *, seed: int
) -> dict[str, np.ndarray]:
    """A sketch of at most 10,000 cells, evenly from all parts, as columns by name.

    Parameters
    ----------
    by_part
        The mapped cells of the reference and of each query: parquet files in order, by the part's name.
    predicted
        The queries' predictions, in the same order of cells.
    seed
        Seed of the sampling.

    Returns
    -------
    `latents` (cells × L), `dataset`, `batch`, `label`, `probability`. Reference cells have their own label
    and no probability (NaN).
    """
    rng = np.random.default_rng(seed)
    blocks_of: dict[str, list[np.ndarray]] = {
        name: [] for name in ("latents", "dataset", "batch", "label", "probability")
    }
    for part, paths in by_part.items():
        n_cells = count_cells(paths)
        n_drawn = min(n_cells, MAX_MAP_CELLS // len(by_part))
        rows = np.sort(rng.choice(n_cells, n_drawn, replace=False, shuffle=False))
        mapped = read_rows(paths, ["batch", "label"], rows)
        if part in predicted:
            predicted_rows = read_rows([predicted[part]], ["label", "probability"], rows)
            label, probability = _strings(predicted_rows["label"]), predicted_rows["probability"].to_numpy()
        else:
            label, probability = _strings(mapped["label"]), np.full(len(rows), np.nan, dtype=np.float32)
        blocks_of["latents"].append(read_latents(paths, rows))
        blocks_of["dataset"].append(np.full(len(rows), part, dtype=object))
        blocks_of["batch"].append(_strings(mapped["batch"]))
        blocks_of["label"].append(label)
        blocks_of["probability"].append(probability)
    return {key: np.concatenate(arrays) for key, arrays in blocks_of.items()}


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return strings(column.combine_chunks()) if column.num_chunks != 1 else strings(column.chunk(0))


def embed(latents: np.ndarray, seed: int) -> np.ndarray:
    """UMAP of latents: cells × 2.

    The layout starts from two principal axes; the usual spectral start is random for a disconnected graph.
    scran's UMAP needs no compiler: .5 s for 300 cells instead of 12 s, 9 s for 10,000 instead of 50 s.
    """
    centered = latents.astype(np.float64) - latents.mean(axis=0, dtype=np.float64)
    axes, lengths, _ = np.linalg.svd(centered, full_matrices=False)
    places = np.zeros((len(latents), 2))
    places[:, : len(lengths)] = (axes * lengths)[:, :2]
    places *= SPREAD / max(float(np.abs(places).max()), 1e-9)
    neighbors = min(NEIGHBORS, len(latents) - 1)
    return run_umap(
        centered.T,
        num_neighbors=neighbors,
        initialize_method="none",
        initial_coordinates=places,
        optimize_seed=seed,
    )


def for_page(
    cells: dict[str, np.ndarray], embedding: np.ndarray, colors: dict[str, dict[str, str]]
) -> dict[str, object]:
    """Data of the page's interactive map as JSON, about ten bytes per cell.

    Parameters
    ----------
    cells, embedding
        The cells, and their positions: cells × 2.
    colors
        By column (`label`, `dataset`, `batch`): color by category, in the order of the key.

    Returns
    -------
    `n` cells; `x`, `y` (0 to 65535, y downwards) and `probability` (hundredths, 255 if missing) in base64;
    `by`: `names`, `colors` and `codes` (base64; the last code means missing) per column.
    """
    order = np.random.default_rng(0).permutation(len(embedding))
    # One scale for both directions: distances must not be stretched.
    low = embedding.min(axis=0)
    scale = STEPS / max(float(np.ptp(embedding, axis=0).max()), 1e-9)
    x, y = ((embedding[order] - low) * scale).T
    probability = np.round(100 * cells["probability"][order])
    return {
        "n": len(embedding),
        "x": _base64(x, "<u2"),
        "y": _base64(y.max() - y, "<u2"),
        "probability": _base64(np.nan_to_num(probability, nan=NO_PROBABILITY), "u1"),
        "by": {
            name: {
                "names": list(by),
                "colors": list(by.values()),
                "codes": _base64(_codes(cells[name][order], list(by)), "<u2"),
            }
            for name, by in colors.items()
        },
    }


def _codes(values: np.ndarray, names: list[str]) -> np.ndarray:
    place = {name: code for code, name in enumerate(names)}
    return np.array([place.get(value, len(names)) for value in values])


def _base64(values: np.ndarray, dtype: str) -> str:
    return base64.b64encode(values.astype(dtype).tobytes()).decode()
