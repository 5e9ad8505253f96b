"""Predictions of XGBoost's trees, five times as fast as XGBoost's own (benchmarks/libraries.md).

The splits are the same, and probabilities differ by rounding, 6e-8 at most.

XGBoost follows one cell at a time through a tree, and waits at every node for a number in memory. Here each
node is asked of 256 cells at once. Latents become the number of split points at or below them, one byte, so
that a processor compares 16 or more cells with one instruction.
"""

import json
from collections.abc import Iterator

import numba
import numpy as np
import xgboost

CELLS_AT_ONCE = 256

MAX_NODES = 256
"""Of a tree: their numbers are bytes."""

ROUNDS_AT_ONCE = 5
"""On the way trees are Python's objects, which take ten times as much memory."""


class Forest:
    """The trees of a booster for several labels (`multi:softprob`) on latents without missing values.

    Raises
    ------
    ValueError
        If a tree has more than 256 nodes (deeper than 7), or a latent more than 255 split points.
    """

    def __init__(self, booster: xgboost.Booster) -> None:
        about = json.loads(booster[:1].save_raw("json"))["learner"]["learner_model_param"]
        self._n_labels = int(about["num_class"])
        self._base_scores = np.array(json.loads(about["base_score"]), np.float32)
        labels, sizes, *columns = (np.concatenate(parts) for parts in zip(*_read(booster), strict=True))
        self._label_of_tree = labels
        left, right, latent, split = columns
        number = np.concatenate([np.arange(size) for size in sizes])
        inner = left >= 0
        thresholds = [
            np.unique(split[inner & (latent == feature)]) for feature in range(int(about["num_feature"]))
        ]
        if max(map(len, thresholds)) > 255:
            raise ValueError("split points do not fit a byte")
        # Ascending, then infinite: latents × 255.
        self._splits = np.stack(
            [np.append(splits, np.full(255 - len(splits), np.inf)) for splits in thresholds]
        )
        self._splits = self._splits.astype(np.float32)

        # A leaf holds its value where an inner node holds its split.
        self._values = np.zeros((len(sizes), MAX_NODES), dtype=np.float32)
        self._values[np.repeat(np.arange(len(sizes)), sizes), number] = split
        place = np.zeros(len(split), dtype=np.int64)
        for feature, splits in enumerate(self._splits):
            asked = inner & (latent == feature)
            place[asked] = np.searchsorted(splits, split[asked])
        # Inner nodes only, tree by tree; a node has a lower number than its children.
        self._latents = latent[inner]
        self._nodes = np.stack([number, place, left, right], axis=1)[inner].astype(np.uint8)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._edges = np.concatenate([[0], np.cumsum(inner)])[starts]

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels, float32."""
        n_cells = len(latents)
        n_padded = -(-n_cells // CELLS_AT_ONCE) * CELLS_AT_ONCE
        codes = np.zeros((latents.shape[1], n_padded), dtype=np.uint8)
        _count_splits(latents.T, self._splits, codes)
        margins = np.repeat(np.resize(self._base_scores, self._n_labels)[:, None], n_padded, axis=1)
        _add_leaves(
            codes, self._edges, self._latents, self._nodes, self._values, self._label_of_tree, margins
        )
        margins = margins[:, :n_cells]
        margins -= margins.max(axis=0)
        np.exp(margins, out=margins)
        return np.ascontiguousarray((margins / margins.sum(axis=0, dtype=np.float64)).T, dtype=np.float32)


def _read(booster: xgboost.Booster) -> Iterator[tuple[np.ndarray, ...]]:
    """The trees of a few rounds: label and number of nodes of each; then, node by node, four columns.

    These are its left and right child (negative: none), the latent it asks, and its split or value.

    Raises
    ------
    ValueError
        If a tree has too many nodes.
    """
    columns = ("left_children", "right_children", "split_indices", "split_conditions")
    n_rounds = booster.num_boosted_rounds()
    for start in range(0, n_rounds, ROUNDS_AT_ONCE):
        some = booster[start : min(start + ROUNDS_AT_ONCE, n_rounds)]
        model = json.loads(some.save_raw("json"))["learner"]["gradient_booster"]["model"]
        sizes = np.array([len(tree["left_children"]) for tree in model["trees"]])
        if sizes.max() > MAX_NODES:
            raise ValueError("the numbers of nodes do not fit a byte")
        kinds = (np.int32, np.int32, np.int32, np.float32)
        yield (
            np.array(model["tree_info"]),
            sizes,
            *(
                np.concatenate([np.array(tree[column], kind) for tree in model["trees"]])
                for column, kind in zip(columns, kinds, strict=True)
            ),
        )


@numba.njit(cache=True)
def _count_splits(values: np.ndarray, splits: np.ndarray, codes: np.ndarray) -> None:
    """Write to `codes` how many of a latent's splits lie at or below each of its values (latents × cells)."""
    for latent in range(len(values)):
        for cell in range(values.shape[1]):
            count = 0
            for step in (128, 64, 32, 16, 8, 4, 2, 1):
                count += step if splits[latent, count + step - 1] <= values[latent, cell] else 0
            codes[latent, cell] = count


@numba.njit(cache=True)
def _add_leaves(
    codes: np.ndarray,
    edges: np.ndarray,
    latents: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
    label_of_tree: np.ndarray,
    margins: np.ndarray,
) -> None:
    """Add to `margins` (labels × cells) the leaves that cells (`codes`: latents × cells) end in.

    Rows of `nodes`: number of the node in its tree, place of its split point, left and right child.
    """
    at = np.empty(CELLS_AT_ONCE, dtype=np.uint8)
    for start in range(0, codes.shape[1], CELLS_AT_ONCE):
        for tree in range(len(label_of_tree)):
            at[:] = 0
            for node in range(edges[tree], edges[tree + 1]):
                here, place, left, right = nodes[node]
                row = codes[latents[node], start : start + CELLS_AT_ONCE]
                for cell in range(CELLS_AT_ONCE):
                    below = left if row[cell] <= place else right
                    at[cell] = below if at[cell] == here else at[cell]
            sums, leaves = margins[label_of_tree[tree], start : start + CELLS_AT_ONCE], values[tree]
            for cell in range(CELLS_AT_ONCE):
                sums[cell] += leaves[at[cell]]
