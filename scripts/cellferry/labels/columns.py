"""Choice of the annotation columns with labels and batches: by names, then by values."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .names import folded

MIN_LABEL, MIN_BATCH = 60, 50
"""Points that a column needs to be chosen."""

MAX_LABELS, MAX_BATCHES = 500, 5000
MIN_CELLS_PER_LABEL, MIN_CELLS_PER_BATCH = 3, 10


def words_of(text: str) -> frozenset[str]:
    """Words with blanks between them as a set."""
    return frozenset(text.split())


NO_LABEL = words_of(
    "score scores prob probability confidence certainty uncertainty doublet doublets singlet color colors "
    "colour barcode barcodes umap tsne count counts number percent pct date phase sex gender age disease "
    "ethnicity tissue organ assay platform suspension development stage status quality qc region anatomical "
    "smoking batch donor patient sample library plate umi nfeature ncount reads primary"
)
"""Words in the names of columns without labels."""

NO_BATCH = words_of(
    "age sex gender type status disease score number count counts n region ethnicity date weight bmi mean "
    "prob cell cells"
)
"""Words in the names of columns that describe batches without naming them."""

LABEL_WORDS = (
    (80, words_of("label labels population populations subpopulation celllabel")),
    (85, words_of("ann annot annotation annotations annotated")),
    (70, words_of("classified classification class subclass cellclass")),
    (60, words_of("subset subsets subtype ct gate gates phenotype lineage compartment")),
    (55, words_of("predicted prediction")),
    (50, words_of("ident identity")),
    (45, words_of("cluster clusters")),
    (40, words_of("type types group")),
    (25, words_of("leiden louvain snn seurat")),
)
"""Points for words in a column's name."""

MODIFIERS = (
    (
        -15,
        words_of(
            "predicted prediction transferred scanvi auto automatic majority celltypist singler azimuth"
        ),
    ),
    (-15, words_of("term")),
    (-10, words_of("broad coarse coarser major main compartment lineage condensed")),
    (-5, words_of("original old previous")),
    (5, words_of("finest fine final harmonised harmonized author")),
)
"""Points for further words, which describe the kind of labels."""

BATCH_WORDS = (
    (100, words_of("donor donors")),
    (98, words_of("patient")),
    (97, words_of("individual participant subject")),
    (95, words_of("sample samples sampleid mouse animal specimen")),
    (90, words_of("batch")),
    (85, words_of("library")),
    (80, words_of("plate")),
    (70, words_of("lane channel run pool replicate rep well flowcell")),
    (55, words_of("dataset study cohort site center centre")),
    (50, words_of("chemistry technology tech protocol")),
)
"""Points for words in the name of a column of batches."""

CELL_WORDS = re.compile(
    r"\bcells?\b|\b[TB]\b|\bNKT?\b|\bCD\d|\bT ?reg|\bp?DCs?\b|mono|phage|lymph|blast|cyte|cyto|phil"
    r"|neuron|glia|epith|endoth|strom|fibro|mesench|muscle|progenitor|stem|plasma|dendritic|myeloid|killer|thelial"
    r"|platelet|HSC|Mk\b|acinar|ductal|alpha|beta|delta|ciliated|club|basal|goblet|podocyte|tubule|mast",
    re.I,
)
"""Words in the names of cell types."""

CELL_ONTOLOGY = re.compile(r"CL:\d{7}")

SINGLETS = {"sng": ("sng", "dbl", "amb", "dou"), "singlet": ("singlet", "doublet", "negative", "ambiguous")}
"""Names of singlets, by all values of a doublet column."""


@dataclass(frozen=True)
class Column:
    """An annotation column.

    Attributes
    ----------
    name
        Its name.
    values
        Cells per value.
    missing
        Cells without a value.
    """

    name: str
    values: Counter
    missing: int

    @property
    def words(self) -> list[str]:
        """The words of its name: `cell_typeID` is cell, type, id."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name)
        return re.sub(r"[\W_]+", " ", spaced).lower().split()

    @property
    def cells(self) -> int:
        """Cells with a value."""
        return self.values.total()

    @property
    def share_missing(self) -> float:
        """Share of the cells without a value."""
        return self.missing / max(1, self.cells + self.missing)


@dataclass(frozen=True)
class Choice:
    """The chosen column, the reasons, and alternatives, best first."""

    column: Column
    why: str
    others: list[Column]


def choose_label(
    columns: list[Column], known: set[str] | None = None, like: str | None = None
) -> Choice | None:
    """The column that most likely holds labels; None if none is likely to.

    Parameters
    ----------
    columns
        A dataset's columns, without values for unlabeled cells.
    known
        Labels of the other datasets: columns that share them are preferred.
    like
        The name of another dataset's label column.
    """
    points = {
        column.name: label_points(column) + _shared_points(column, known, like)
        for column in columns
        if could_be_label(column)
    }
    return _best(columns, points, MIN_LABEL, label_reason)


def choose_batch(columns: list[Column], label: str | None) -> Choice | None:
    """The most likely batch column other than the label column; None if no column is likely."""
    points = {
        column.name: batch_points(column)
        for column in columns
        if column.name != label and could_be_batch(column)
    }
    return _best(columns, points, MIN_BATCH, lambda column: "by its name")


def _best(
    columns: list[Column], points: dict[str, float], least: float, reason: Callable[[Column], str]
) -> Choice | None:
    likely = [column for column in columns if points.get(column.name, 0) >= least]
    # The first of equal ones.
    ranked = sorted(likely, key=lambda column: -points[column.name])
    return Choice(ranked[0], reason(ranked[0]), ranked[1:]) if ranked else None


def could_be_label(column: Column) -> bool:
    """Whether a column's number of values is plausible for labels, for most of the cells."""
    enough = column.cells >= MIN_CELLS_PER_LABEL * len(column.values)
    return 2 <= len(column.values) <= MAX_LABELS and enough and column.share_missing <= 0.5


def could_be_batch(column: Column) -> bool:
    """Whether a column's number of values is plausible for batches."""
    enough = column.cells >= MIN_CELLS_PER_BATCH * len(column.values)
    return 2 <= len(column.values) <= MAX_BATCHES and enough and column.share_missing <= 0.5


def label_points(column: Column) -> float:
    """How much a column looks like labels: 60 and more is likely."""
    words = column.words
    named = name_points(words)
    if named < 90 and NO_LABEL.intersection(words):
        return 0
    points = float(named or 35)
    points += sum(more for more, some in MODIFIERS if some.intersection(words))
    # Levels are numbered from the coarsest on.
    points += sum(int(word) for word in words if "level" in words and word.isdigit() and len(word) == 1)
    points += 25 * (share_like_cells(column) >= 0.5)
    points -= 50 * _are_numbers(column)
    return points - 30 * column.share_missing


def name_points(words: list[str]) -> int:
    """Points for a column's name; 0 without a known word."""
    squeezed = "".join(words)
    if "celltype" in squeezed or "celltypes" in squeezed:
        return 100
    if "cellontology" in squeezed or "cellsubtype" in squeezed or "cellline" in squeezed:
        return 90
    points_of = [points for points, some in LABEL_WORDS if some.intersection(words)]
    return max(points_of, default=0)


def label_reason(column: Column) -> str:
    """Reasons for the choice of the label column."""
    by_name = name_points(column.words) >= 40
    by_values = share_like_cells(column) >= 0.5
    reasons = [
        *(["by its name"] if by_name else []),
        *(["its values are types of cells"] if by_values else []),
    ]
    return ", ".join(reasons)


def share_like_cells(column: Column) -> float:
    """Share of the values that read like a type of cells, or are an id of the Cell Ontology."""
    like = sum(
        bool(CELL_WORDS.search(value.replace("_", " ")) or CELL_ONTOLOGY.fullmatch(value))
        for value in column.values
    )
    return like / max(1, len(column.values))


def _are_numbers(column: Column) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in column.values)


def _shared_points(column: Column, known: set[str] | None, like: str | None) -> float:
    points = 10.0 if like is not None and column.name == like else 0.0
    return points + (15 * share_known(column, known) if known else 0)


def share_known(column: Column, known: set[str]) -> float:
    """Share of a column's cells with a label of `known`."""
    return sum(n for value, n in column.values.items() if value in known) / max(1, column.cells)


def share_alike(column: Column, known: set[str]) -> float:
    """Share of its cells with a label of `known`, compared without case and punctuation."""
    alike = {folded(label) for label in known}
    return sum(n for value, n in column.values.items() if folded(value) in alike) / max(1, column.cells)


def batch_points(column: Column) -> float:
    """How much a column looks like batches: 50 and more is likely."""
    words = column.words
    if NO_BATCH.intersection(words):
        return 0
    if words in (["orig", "ident"], ["origident"]):
        return 82
    points_of = [points for points, some in BATCH_WORDS if some.intersection(words)]
    return max(points_of, default=0)


def singlets(columns: list[Column]) -> dict[str, list[str]]:
    """Value of the key `cells` that leaves doublets out, if a column marks them."""
    for column in columns:
        for single, all_of_them in SINGLETS.items():
            names = {value.lower(): value for value in column.values}
            if len(names) > 1 and single in names and set(names) <= set(all_of_them):
                return {column.name: [names[single]]}
    return {}
