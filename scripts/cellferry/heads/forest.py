"""Predictions of XGBoost's trees, several times as fast as XGBoost's own (benchmarks/libraries.md).

The splits are the same, and probabilities differ by rounding, 6e-8 at most.

XGBoost follows one cell at a time through a tree, and waits at every node for a number in memory. Here 256
cells go through a tree together. Latents become the number of split points at or below them, one byte. In
small trees, every node is evaluated for all cells: a processor compares 16 or more of them with one
instruction. In larger trees, the cells advance level by level, so that their memory accesses overlap.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    import xgboost

CELLS_AT_ONCE = 256

SMALL = 256
"""Maximum of nodes of a small tree: their numbers are bytes."""

MAX_NODES = 1 << 15
"""Maximum of nodes of any tree: their numbers are two bytes."""

ROUNDS_AT_ONCE = 5
"""Memory of conversion: Python objects take ten times the memory of the arrays."""


@dataclass(frozen=True)
class Forest:
    """The trees of a booster for several labels (`multi:softprob`) on latents without missing values.

    Parameters
    ----------
    base_scores
        Where the margins of the labels start: labels, float32.
    label_of_tree
        Label whose margin each tree adds to.
    splits
        Split points of each latent, ascending, then infinite: latents × 255, float32.
    values
        Values of leaves, split points of inner nodes: trees × nodes of the largest (256 at least), float32.
    nodes, latents
        Number, place of the split point, left and right child of each inner node (inner nodes × 4; bytes
        where all trees are small), and the latent that it compares.
    edges
        Where the inner nodes of each tree begin and end: trees + 1.
    """

    base_scores: np.ndarray
    label_of_tree: np.ndarray
    splits: np.ndarray
    values: np.ndarray
    nodes: np.ndarray
    latents: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, booster: "xgboost.Booster") -> "Forest":
        """The trees of a booster.

        Raises
        ------
        ValueError
            If a tree has more than 32,768 nodes, or a latent more than 255 split points.
        """
        about = json.loads(booster[:1].save_raw("json"))["learner"]["learner_model_param"]
        base_scores = np.array(json.loads(about["base_score"]), np.float32)
        base_scores = np.resize(base_scores, int(about["num_class"]))
        labels, sizes, *columns = (np.concatenate(parts) for parts in zip(*_read(booster), strict=True))
        left, right, latent, split = columns
        number = np.concatenate([np.arange(size) for size in sizes])
        inner = left >= 0
        thresholds = [
            np.unique(split[inner & (latent == feature)]) for feature in range(int(about["num_feature"]))
        ]
        if max(map(len, thresholds)) > 255:
            raise ValueError("split points do not fit a byte")
        padded = [np.append(splits, np.full(255 - len(splits), np.inf)) for splits in thresholds]
        all_splits = np.stack(padded).astype(np.float32)
        # A leaf holds its value where an inner node holds its split.
        width = max(SMALL, sizes.max())
        values = np.zeros((len(sizes), width), dtype=np.float32)
        values[np.repeat(np.arange(len(sizes)), sizes), number] = split
        place = np.zeros(len(split), dtype=np.int64)
        for feature, splits in enumerate(all_splits):
            asked = inner & (latent == feature)
            place[asked] = np.searchsorted(splits, split[asked])
        # Inner nodes only, tree by tree; a node has a lower number than its children.
        kind = np.uint8 if width == SMALL else np.uint16
        nodes = np.stack([number, place, left, right], axis=1)[inner].astype(kind)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        edges = np.concatenate([[0], np.cumsum(inner)])[starts]
        return cls(base_scores, labels, all_splits, values, nodes, latent[inner], edges)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays, for storage."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def nbytes(self) -> int:
        """Bytes of it in memory."""
        steps = () if self.nodes.dtype == np.uint8 else self._steps
        return sum(array.nbytes for array in (*self.arrays.values(), *steps))

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The trees as tables for `_follow_trees`, node by node; leaves lead to themselves."""
        n_trees, width = self.values.shape
        tree = np.repeat(np.arange(n_trees), np.diff(self.edges))
        number, place, left, right = self.nodes.T
        asked = np.zeros((n_trees, width), dtype=np.uint16)
        places = np.full((n_trees, width), 255, dtype=np.uint8)
        children = np.repeat(np.arange(width, dtype=np.uint16), 2)[None].repeat(n_trees, axis=0)
        asked[tree, number], places[tree, number] = self.latents, place
        children[tree, 2 * number], children[tree, 2 * number + 1] = left, right
        depths, of_level = np.zeros(n_trees, dtype=np.int64), number == 0
        while of_level.any():
            depths[np.unique(tree[of_level])] += 1
            below = np.zeros((n_trees, width), dtype=bool)
            for child in (left, right):
                below[tree[of_level], child[of_level]] = True
            of_level = below[tree, number]
        return asked, places, children, depths

    def probabilities(self, latents: np.ndarray) -> np.ndarray:
        """Probabilities of the labels: cells × labels, float32."""
        n_cells = len(latents)
        n_padded = -(-n_cells // CELLS_AT_ONCE) * CELLS_AT_ONCE
        codes = np.zeros((latents.shape[1], n_padded), dtype=np.uint8)
        _count_splits(latents.T, self.splits, codes)
        margins = np.repeat(self.base_scores[:, None], n_padded, axis=1)
        if self.nodes.dtype == np.uint8:
            _ask_nodes(codes, self.edges, self.latents, self.nodes, self.values, self.label_of_tree, margins)
        else:
            by_cell = np.ascontiguousarray(codes.T)
            _follow_trees(by_cell, *self._steps, self.values, self.label_of_tree, margins)
        margins = margins[:, :n_cells]
        margins -= margins.max(axis=0)
        np.exp(margins, out=margins)
        return np.ascontiguousarray((margins / margins.sum(axis=0, dtype=np.float64)).T, dtype=np.float32)


def _read(booster: "xgboost.Booster") -> Iterator[tuple[np.ndarray, ...]]:
    """The trees of a few rounds: label and number of nodes of each; then, node by node, four columns.

    These are its left and right child (negative: none), the latent it compares, and its split or value.

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
            raise ValueError("the numbers of nodes do not fit two bytes")
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
def _ask_nodes(
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


@numba.njit(cache=True)
def _follow_trees(
    codes: np.ndarray,
    asked: np.ndarray,
    places: np.ndarray,
    children: np.ndarray,
    depths: np.ndarray,
    values: np.ndarray,
    label_of_tree: np.ndarray,
    margins: np.ndarray,
) -> None:
    """The same for trees of any size (`codes`: cells × latents), from level to level.

    By tree and node: the latent that it compares, the place of its split point, and its two children.
    """
    at = np.empty(CELLS_AT_ONCE, dtype=np.int64)
    for start in range(0, len(codes), CELLS_AT_ONCE):
        block = codes[start : start + CELLS_AT_ONCE]
        for tree in range(len(label_of_tree)):
            at[:] = 0
            of_node, split, below = asked[tree], places[tree], children[tree]
            for _ in range(depths[tree]):
                for cell in range(CELLS_AT_ONCE):
                    node = at[cell]
                    # Branch-free: a processor would mispredict half of the branches.
                    at[cell] = below[2 * node + (block[cell, of_node[node]] > split[node])]
            sums, leaves = margins[label_of_tree[tree], start : start + CELLS_AT_ONCE], values[tree]
            for cell in range(CELLS_AT_ONCE):
                sums[cell] += leaves[at[cell]]
