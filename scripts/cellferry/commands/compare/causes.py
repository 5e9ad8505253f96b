"""The most likely cause of each changed label, from the columns of both tables."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...artifacts.counting import count_by
from ...artifacts.json_files import read_artifact
from ...artifacts.labels import ReferenceLabels
from ...artifacts.latents import read_values
from ...errors import InputError
from ...labels.vocabulary import LOW_QUALITY, OUT_OF_REFERENCE, RARE_LABEL, UNKNOWN
from .answers import Answers, readable
from .pairs import BATCH

SAME = "same"
ONLY_IN_A, ONLY_IN_B = "label only in A", "label only in B"
QUALITY, OUTSIDE, RARE = "quality limits", "out of reference", "rare label"
OTHER_ANSWER, PROBABILITY, THRESHOLD = "other best label", "probability", "threshold"

MEANING = {
    ONLY_IN_A: "B's reference has no label of that name: renamed, split, merged or left out",
    ONLY_IN_B: "A's reference has no label of that name: renamed, split, merged or new",
    QUALITY: "unknown in one of the two: too few counts or genes (prediction.min_counts, min_genes)",
    OUTSIDE: "unknown in one of the two: low ood_pvalue (prediction.min_p)",
    RARE: "no label in one of the two, because it resembles a rare label",
    OTHER_ANSWER: "another best label",
    PROBABILITY: "same best label, its probability crossed the threshold",
    THRESHOLD: "same best label and probability, another threshold",
}
"""Causes with their meanings; the first that fits is reported."""

SAME_PROBABILITY = 1e-4
"""Largest difference of equal probabilities: machines round differently."""


def vocabulary(answers: Answers) -> set[str]:
    """Possible labels of all levels: those of the reference, if available, and of the table."""
    seen = {UNKNOWN}
    columns = ["label", "best_label", "runner_up", *levels_of(answers)]
    with readable(answers.path):
        for column in columns:
            seen |= read_values([answers.path], column)
    try:
        known = read_artifact(ReferenceLabels, answers.results / "reference" / "labels.json").hierarchy
    except (InputError, OSError):  # of another run, or a copied table
        return seen
    return seen.union(known.leaves, known.coarser_labels)


def levels_of(answers: Answers) -> list[str]:
    """Columns of the best label of each coarser level."""
    names = answers.schema.names
    return [name for name in names if name.startswith("level_") and f"{name}_probability" in names]


def counted(
    blocks: Iterator[pa.RecordBatch], vocabularies: tuple[set[str], set[str]], *, by_batch: bool
) -> list[dict]:
    """Cells by their two labels and the cause.

    Parameters
    ----------
    blocks
        Blocks of `cellferry.commands.compare.pairs.Pairs`.
    vocabularies
        Labels that could be given in A, and in B.
    by_batch
        Count also by `batch`.

    Returns
    -------
    One dict per combination: `a_label`, `b_label`, `cause` (`same` where the label is), `cells`, and `batch`.
    """
    keys = ["a_label", "b_label", "cause", *([BATCH] if by_batch else [])]
    sets = [pa.array(sorted(each), pa.string()) for each in vocabularies]
    with_causes = (
        block.append_column("cause", pa.array(causes(block, *sets), pa.string())).select(keys)
        for block in blocks
    )
    return count_by(with_causes, keys)


def causes(block: pa.RecordBatch, in_a: pa.Array, in_b: pa.Array) -> np.ndarray:
    """Cause of each cell's change, or `same`: an object array of str.

    Parameters
    ----------
    block
        Cells with the columns of both tables.
    in_a, in_b
        Labels that could be given in each.
    """

    def either(reason: str) -> np.ndarray:
        # A changed cell is unknown in at most one of the two.
        return equal(block, "a_reason", reason) | equal(block, "b_reason", reason)

    best_known = is_in(block, "a_best_label", in_b) & is_in(block, "b_best_label", in_a)
    moved = np.abs(np.asarray(block.column("a_probability")) - np.asarray(block.column("b_probability")))
    other_best = pc.not_equal(block.column("a_best_label"), block.column("b_best_label"))
    other_best = np.asarray(other_best.fill_null(True))
    found = [
        (SAME, np.asarray(pc.equal(block.column("a_label"), block.column("b_label")))),
        (ONLY_IN_A, ~is_in(block, "a_label", in_b)),
        (ONLY_IN_B, ~is_in(block, "b_label", in_a)),
        (QUALITY, either(LOW_QUALITY)),
        (OUTSIDE, either(OUT_OF_REFERENCE)),
        (RARE, either(RARE_LABEL)),
        (ONLY_IN_A, ~best_known & ~is_in(block, "a_best_label", in_b)),
        (ONLY_IN_B, ~best_known),
        (OTHER_ANSWER, other_best),
        (PROBABILITY, ~(moved <= SAME_PROBABILITY)),
    ]
    names, conditions = zip(*found, strict=True)
    return np.select(conditions, [np.full(len(block), name, dtype=object) for name in names], THRESHOLD)


def equal(block: pa.RecordBatch, column: str, value: str) -> np.ndarray:
    """True for rows in which a column has a value; False for missing values."""
    return np.asarray(pc.equal(block.column(column), value).fill_null(False))


def is_in(block: pa.RecordBatch, column: str, values: pa.Array) -> np.ndarray:
    """True for rows in which a column has one of several values."""
    return np.asarray(pc.is_in(block.column(column), value_set=values))
