"""Scores of a dataset with known labels, written by evaluate: `results/evaluation/{dataset}.json`."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Scores:
    """Scores of labels; None without cells.

    Attributes
    ----------
    accuracy
        Share of cells with the right label.
    macro_f1
        Mean of F1 over the labels that occur as truth.
    """

    accuracy: float | None
    macro_f1: float | None


@dataclass(frozen=True)
class HeadScores(Scores):
    """Scores of labels with probabilities.

    Attributes
    ----------
    ece
        Expected calibration error of the probabilities; None without any.
    """

    ece: float | None


@dataclass(frozen=True)
class AnswerScores(HeadScores):
    """Scores of the answer, where `unknown` and coarser labels count as wrong.

    Attributes
    ----------
    rejected_share
        Share of cells that are `unknown`.
    accuracy_among_accepted
        Share of right answers among the others, at the level of the answer.
    """

    rejected_share: float | None
    accuracy_among_accepted: float | None


@dataclass(frozen=True)
class LabelScores:
    """Scores of a label.

    Attributes
    ----------
    precision, recall, f1
        0 if undefined.
    support
        Number of cells with this true label.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class LevelHeadScores(HeadScores):
    """Scores of a head at a level.

    Attributes
    ----------
    labels
        Scores of each label that occurs as truth.
    """

    labels: dict[str, LabelScores]


@dataclass(frozen=True)
class LevelScores:
    """Scores at a level of the labels' hierarchy.

    Attributes
    ----------
    cells
        Number of cells with a true label at the level or below.
    heads
        Scores by head; `answer` is the workflow's answer, `forced` its best label of every cell.
    """

    cells: int
    heads: dict[str, LevelHeadScores]


@dataclass(frozen=True)
class Separation:
    """AUROC of cells of an unseen label against cells of known labels; None without cells.

    Attributes
    ----------
    ood_pvalue, distance, probability
        Column that ranks the cells.
    """

    ood_pvalue: float | None
    distance: float | None
    probability: float | None


@dataclass(frozen=True)
class UnseenCells:
    """Cells whose true label cannot be predicted.

    Attributes
    ----------
    cells
        Their number.
    accepted
        Number of those that got a label, which is wrong.
    auroc
        Separation from cells of known labels.
    """

    cells: int
    accepted: int
    auroc: Separation


@dataclass(frozen=True)
class UnseenLabel(UnseenCells):
    """Cells of one such label.

    Attributes
    ----------
    unknown
        Number of those that are `unknown`.
    accepted_as
        Cells by the label that they got, the most frequent first.
    """

    unknown: int
    accepted_as: dict[str, int]


@dataclass(frozen=True)
class Risk:
    """Numbers of labeled cells and error rates; shares are None without cells.

    Attributes
    ----------
    cells, accepted
        Number of cells, and of those that are not `unknown`.
    unknown_share
        Share of the others.
    accuracy_among_accepted, error_among_accepted
        Shares of right and wrong answers among the accepted cells.
    """

    cells: int
    accepted: int
    unknown_share: float | None
    accuracy_among_accepted: float | None
    error_among_accepted: float | None


@dataclass(frozen=True)
class Rejection:
    """Cells that got an answer, and the reasons of the others.

    Attributes
    ----------
    reasons
        Cells by reason, of all cells.
    unknown, coarser, accepted
        Number of cells that are `unknown`, got a coarser label, got any label.
    accepted_share
        Share of cells that got any label; None without cells.
    leaf_truth, known_truth, all_truth
        Cells whose truth is one of the reference's labels; a label at any level; anything.
    """

    reasons: dict[str, int]
    unknown: int
    coarser: int
    accepted: int
    accepted_share: float | None
    leaf_truth: Risk
    known_truth: Risk
    all_truth: Risk


@dataclass(frozen=True)
class PredictionSets:
    """Prediction sets of cells whose truth is one of the reference's labels.

    Attributes
    ----------
    cells
        Their number.
    coverage
        Share of sets that contain the true label; None without cells.
    mean_size
        Mean number of labels in a set; None without cells.
    """

    cells: int
    coverage: float | None
    mean_size: float | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Cells whose probability lies in a bin.

    Attributes
    ----------
    lower, upper
        Limits of the bin.
    cells
        Their number.
    mean_probability, accuracy
        Mean of their probabilities, and share of right labels.
    """

    lower: float
    upper: float
    cells: int
    mean_probability: float
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix, without its zeros: thousands of labels have millions.

    Attributes
    ----------
    truth, predicted
        Labels of its rows and columns; the last column is `unknown`.
    cells
        Row, column and number of cells, row by row.
    """

    truth: list[str]
    predicted: list[str]
    cells: list[tuple[int, ...]]


@dataclass(frozen=True)
class ConfusedLabels:
    """Two labels that are often confused.

    Attributes
    ----------
    labels
        The two.
    share
        Share of their cells that got the other's label.
    confused, cells
        Number of these cells, and of all cells of the two.
    """

    labels: list[str]
    share: float
    confused: int
    cells: int


@dataclass(frozen=True)
class Baseline(Scores):
    """Scores of the simple baseline.

    Attributes
    ----------
    method
        What it does, in words.
    n_cells
        Number of cells it was scored on.
    levels
        Scores by level.
    cellferry_on_the_same_cells
        Scores of the workflow's best labels.
    only_baseline, only_cellferry
        Number of cells that only the baseline, or only the best label, gets right.
    p_value
        See `cellferry.evaluation.baseline.sign_test`, of these two numbers.
    """

    method: str
    n_cells: int
    levels: dict[str, Scores]
    cellferry_on_the_same_cells: Scores
    only_baseline: int
    only_cellferry: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a dataset.

    Accuracy, macro-F1 and calibration are over cells whose truth is one of the reference's labels; at a
    coarser level over those with a true label at the level or below.

    Attributes
    ----------
    made_from
        Hashes of the predictions' inputs.
    n_cells, with_truth
        Number of cells, and of those with a truth.
    truth_in_reference, truth_at_a_coarser_level, truth_not_predictable, truth_not_in_reference
        Number of cells by relation of their true label to the reference.
    truth_not_in_reference_called_unknown
        Number of `unknown` cells whose true label is missing from the reference.
    labels_not_in_reference, labels_not_predictable
        Cells by true label that is missing from the reference, or rare in it.
    not_in_reference, not_predictable
        All of these together.
    forced, answered
        Scores of the best label of every cell, and of the answer.
    heads
        Scores by head.
    levels
        Scores by level, the finest first.
    rejection, prediction_sets
        Accepted cells, and sets of labels.
    confidence
        Reliability of the best label's probability, by bins that have cells.
    confusion
        Truth against answer.
    confused_labels
        Pairs of labels, the worst first.
    baseline
        The simple baseline; None without the reference's expression.
    """

    VERSION: ClassVar[int] = 3

    made_from: dict[str, str]
    n_cells: int
    with_truth: int
    truth_in_reference: int
    truth_at_a_coarser_level: int
    truth_not_predictable: int
    truth_not_in_reference: int
    truth_not_in_reference_called_unknown: int
    labels_not_in_reference: dict[str, UnseenLabel]
    labels_not_predictable: dict[str, UnseenLabel]
    not_in_reference: UnseenCells
    not_predictable: UnseenCells
    forced: HeadScores
    answered: AnswerScores
    heads: dict[str, HeadScores]
    levels: dict[str, LevelScores]
    rejection: Rejection
    prediction_sets: PredictionSets
    confidence: list[ReliabilityBin]
    confusion: Confusion
    confused_labels: list[ConfusedLabels]
    baseline: Baseline | None = None
