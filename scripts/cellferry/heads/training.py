"""Training of the heads on a sketch of the reference's training cells."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from ..artifacts.h5ad_reader import H5adReader
from ..artifacts.latents import codes_among, count_cells, latent_columns, read_codes, read_latents
from ..config.available_heads import LEARN_SUMS, MOST_LABELS, TREES, affordable_heads, available_heads
from ..config.settings import ClassifierSettings
from ..core.progress import timed
from ..errors import InputError
from ..features.marker_values import holds_intensities, marker_values
from ..resources.budget import Budget
from ..resources.memory import MEMORY_MODELS, selection_cap, training_mb
from ..sampling.sketch import sketch_values
from .boosted_trees import ExpressionXGBoostHead, XGBoostHead
from .cytovi import CytoviHead
from .expression import ExpressionHead
from .label_distances import LabelDistances
from .neighbors import NeighborsHead
from .rare_labels import RareLabels
from .registry import ON_COUNTS, ON_EXPRESSION, ON_LATENTS, Heads
from .rehearsal import Rehearsal, rehearse
from .scanvi import ScanviHead
from .shrinkage import HeldOut
from .sums import print_use, teaching_labels
from .training_cells import Drawn, TrainingCells, draw_training, drawn_cells
from .training_files import TrainingFiles


@dataclass(frozen=True)
class TrainedHeads:
    """Heads, and models of the distance to the reference's cells.

    Attributes
    ----------
    by_name
        The heads that vote.
    nearest, distances
        Distances to the nearest reference cells and to the labels, for any choice of heads.
    cells
        The cells that all were trained on.
    rare
        Profiles of rare labels; None without rare labels or without the head on ranks.
    rehearsal
        Predictions of such heads for cells of left-out donors; None without a rehearsal.
    """

    by_name: Heads
    nearest: NeighborsHead
    distances: LabelDistances
    cells: TrainingCells
    rare: RareLabels | None = None
    rehearsal: Rehearsal | None = None

    def trees_kept(self, name: str) -> int:
        """Boosting rounds of a head of trees; 0 where it was not trained."""
        return self.by_name[name].booster.num_boosted_rounds() if name in self.by_name else 0

    def save(self, folder: Path) -> None:
        """Write the files of all heads, of the neighbors and of the distances."""
        # Neighbors are kept even without a vote: they give the distance to the reference.
        for part in {**self.by_name, "neighbors": self.nearest, "distances": self.distances}.values():
            part.save(folder)
        if self.rare:
            self.rare.save(folder)
        if self.rehearsal:
            self.rehearsal.save(folder)


def train_heads(
    files: TrainingFiles,
    settings: ClassifierSettings,
    *,
    modality: str,
    seed: int,
    budget: Budget,
    threads: int,
    below: dict[str, list[str]] | None = None,
) -> TrainedHeads:
    """Train the heads on a sketch of the training cells.

    Parameters
    ----------
    files, settings
        Files of the reference, settings of the training.
    modality
        `rna` or `cytometry`.
    seed, budget, threads
        Seed of what is random, memory and cores of the job.
    below
        By coarser label, the labels below it: cells with such a label train their sum.

    Raises
    ------
    InputError
        If the training cells have fewer than two labels, the memory is too small for a useful sketch, or none
        of the heads can be trained.
    RuntimeError
        If a part and its mapped files differ in the number of cells.
    """
    below = below or {}
    codes, names = read_codes(files.train, "label")
    labels = [name for name in names if name not in below]
    coarser = teaching_labels(below, names)
    codes = codes_among([*labels, *coarser], codes, names)
    if files.common is None:
        print("there are no counts of the reference's cells: no classifier is trained on expression")
    with ExitStack() as opened:
        values = opened.enter_context(H5adReader(files.common)) if files.common else None
        if values:
            _check_number(values, len(codes), files.train)
        heads = trainable(settings.heads, files.model, values, modality=modality, n_labels=len(labels))
        trees = not set(TREES).isdisjoint(heads)
        rows, part = draw_training(
            files.train,
            codes,
            labels,
            max_training_cells=settings.max_training_cells,
            seed=seed,
            trees=trees,
            n_coarse=len(coarser),
        )
        on_markers = values is not None and holds_intensities(values)
        on_markers = on_markers and not set(ON_EXPRESSION).isdisjoint(heads)
        on_sketch = not set(ON_COUNTS).isdisjoint(heads)
        n_labels = len(labels)
        budget.require(
            MEMORY_MODELS["train_classifier"],
            cells=len(codes),
            values=sketch_values(values, len(part) + selection_cap(n_labels=n_labels)) if on_sketch else 0,
            more_mb=training_mb(
                len(rows),
                n_labels=n_labels,
                n_latent=len(latent_columns(files.train)),
                neighbors=settings.neighbors,
                trees=trees,
                n_markers=values.n_genes if on_markers else 0,
                n_genes=values.n_genes if on_sketch or on_markers else 0,
            ),
            remedy="lower prediction.max_training_cells",
        )
        above = {name: below[name] for name in coarser}
        cells = drawn_cells(labels, codes, rows, part, validation=files.validation, below=above, seed=seed)
        print_use(cells.coarse, coarser, heads, n_labels=len(cells.labels))
        others = None
        if not set(ON_EXPRESSION).isdisjoint(heads):
            others = opened.enter_context(H5adReader(files.validation_common))
            _check_number(others, count_cells(files.validation), files.validation)

        fit = partial(fit_heads, heads, files, values, others, settings=settings, seed=seed, threads=threads)
        trained = fit(cells, files.rare)
        # A scANVI model was trained on the labels of all donors.
        if not has_scanvi(files.model):
            values_of = values.rows if others else lambda rows: None
            parts = files.train, files.validation
            rehearsal = rehearse(*parts, cells, lambda some: fit(some).by_name, values_of, seed=seed)
            trained = replace(trained, rehearsal=rehearsal)
    return trained


def fit_heads(
    heads: list[str],
    files: TrainingFiles,
    values: H5adReader | None,
    others: H5adReader | None,
    cells: TrainingCells,
    rare: str | None = None,
    *,
    settings: ClassifierSettings,
    seed: int,
    threads: int,
) -> TrainedHeads:
    """Heads trained on some cells; expression of these (`values`) and of validation cells (`others`)."""
    trained: Heads = {}
    known = None
    if others and holds_intensities(values):
        trained = train_on_markers(heads, values, others, cells, settings, seed=seed, threads=threads)
    elif others:
        trained, known = train_on_counts(heads, values, others, cells, rare)
    all_heads = train_on_latents(heads, trained, files, cells, settings, seed=seed, threads=threads)
    return replace(all_heads, rare=known)


def has_scanvi(model: str) -> bool:
    """Whether the model in a folder is a scANVI model."""
    return (Path(model) / ScanviHead.file_name).exists()


def trainable(
    heads: list[str], model: str, values: H5adReader | None, *, modality: str, n_labels: int
) -> list[str]:
    """Heads that can be trained for this model, expression and number of labels.

    Raises
    ------
    InputError
        If none can.
    """
    available = available_heads(
        heads,
        scanvi_model=has_scanvi(model),
        cytometry=modality == "cytometry",
        expression=values is not None,
    )
    if not available:
        raise InputError(
            f"prediction.heads: none of {heads} can be trained here; scanvi takes a model of type scanvi, "
            "cytovi and expression_xgboost take cytometry, and expression takes counts of the reference"
        )
    affordable = affordable_heads(available, n_labels=n_labels)
    for head in (head for head in available if head not in affordable):
        print(
            f"{head} is not trained: more than {MOST_LABELS[head]:,} labels (here {n_labels:,}) take too long"
        )
    return affordable


def train_on_counts(
    heads: list[str], counts: H5adReader, validation: H5adReader, cells: TrainingCells, rare: str | None
) -> tuple[Heads, RareLabels | None]:
    """Heads on counts, and profiles of rare labels for the head on ranks.

    Parameters
    ----------
    heads
        Names of all heads to train.
    counts, validation
        Counts of the training and of the validation cells.
    cells
        Cells to train on.
    rare
        File with counts of the cells of rare labels.
    """
    rows, codes = cells.learned.rows[cells.part], cells.learned.codes[cells.part]
    learned = counts.rows(rows)
    chosen_on = Drawn(*(values[cells.selection] for values in cells.held_out))
    held_out = (validation.rows(chosen_on.rows), chosen_on.codes) if len(chosen_on.codes) else None
    trained: Heads = {}
    sums = cells.coarse and cells.coarse.with_values(counts.rows)
    for name in (name for name in ON_COUNTS if name in heads):
        more = {"coarse": sums} if name in LEARN_SUMS else {}
        with timed(f"{name} of {len(rows):,} cells"):
            trained[name] = ON_COUNTS[name](learned, codes, held_out, n_labels=len(cells.labels), **more)
    known = None
    if rare and "expression_ranks" in heads:
        with H5adReader(rare) as few:
            known = _rare_labels(few, (learned, codes), held_out, n_labels=len(cells.labels))
    return trained, known


def _rare_labels(
    few: H5adReader, learned: HeldOut, held_out: HeldOut | None, *, n_labels: int
) -> RareLabels | None:
    """Profiles of rare labels from their cells (`few`); None without any."""
    if few.n_cells == 0:
        return None
    names, codes = np.unique(few.obs("label").astype(str), return_inverse=True)
    with timed(f"profiles of {len(names):,} rare labels, of {few.n_cells:,} cells"):
        cells = few.counts(0, few.n_cells), codes
        return RareLabels.train(learned, cells, held_out, n_labels=n_labels, names=names.tolist())


def train_on_markers(
    heads: list[str],
    values: H5adReader,
    validation: H5adReader,
    cells: TrainingCells,
    settings: ClassifierSettings,
    *,
    seed: int,
    threads: int,
) -> Heads:
    """Heads on marker values.

    Parameters
    ----------
    heads
        Names of all heads to train.
    values, validation
        Marker values of the training and of the validation cells.
    cells, settings, seed, threads
        Cells to train on, settings of the trees, seed of what is random, cores of the job.
    """
    learned = marker_values(values, cells.learned.rows)
    checked = marker_values(validation, cells.held_out.rows)
    trained: Heads = {}
    if "expression" in heads:
        chosen, codes = sparse.csr_matrix(learned[cells.part]), cells.learned.codes[cells.part]
        with timed(f"linear model on the marker values of {len(codes):,} cells"):
            others = sparse.csr_matrix(checked[cells.selection]), cells.held_out.codes[cells.selection]
            held_out = others if len(checked) else None
            sums = cells.coarse and cells.coarse.with_values(
                lambda rows: sparse.csr_matrix(marker_values(values, rows))
            )
            trained["expression"] = ExpressionHead.train(
                chosen, codes, held_out, n_labels=len(cells.labels), normalize=False, coarse=sums
            )
    if "expression_xgboost" in heads:
        trained["expression_xgboost"] = _grown(
            ExpressionXGBoostHead, learned, checked, cells, settings, seed=seed, threads=threads
        )
    return trained


def train_on_latents(
    heads: list[str],
    on_expression: Heads,
    files: TrainingFiles,
    cells: TrainingCells,
    settings: ClassifierSettings,
    *,
    seed: int,
    threads: int,
) -> TrainedHeads:
    """Train the heads on latents, and the models of distances.

    Parameters
    ----------
    heads
        Names of all heads to train.
    on_expression
        The trained heads on expression.
    files
        Files of the reference.
    cells, settings, seed, threads
        Cells to train on, settings of the heads, seed of what is random, cores of the job.
    """
    latents, codes = read_latents(files.train, cells.learned.rows), cells.learned.codes
    held_out = read_latents(files.validation, cells.held_out.rows)
    sums = cells.coarse and cells.coarse.with_values(partial(read_latents, files.train), whole=True)
    trained = dict(on_expression)
    if "xgboost" in heads:
        trained["xgboost"] = _grown(
            XGBoostHead, latents, held_out, cells, settings, seed=seed, threads=threads
        )
    for name in (name for name in ON_LATENTS if name in heads):
        with timed(f"{name} on the latents of {len(codes):,} cells"):
            more = {"coarse": sums} if name in LEARN_SUMS else {}
            trained[name] = ON_LATENTS[name].train(latents, codes, **more)
    if "scanvi" in heads:
        trained["scanvi"] = ScanviHead.load(Path(files.model)).among(cells.labels)
    n_labels = len(cells.labels)
    with timed(f"nearest neighbors of {len(codes):,} cells"):
        nearest = NeighborsHead.train(
            latents, codes, held_out, n_neighbors=settings.neighbors, n_labels=n_labels
        )
        distances = LabelDistances.train(latents, codes, n_labels=n_labels)
    if "neighbors" in heads:
        trained["neighbors"] = nearest
    if "cytovi" in heads:
        trained["cytovi"] = CytoviHead(nearest)
    return TrainedHeads(trained, nearest, distances, cells)


def _grown(
    head: type[XGBoostHead],
    values: np.ndarray,
    held_out: np.ndarray,
    cells: TrainingCells,
    settings: ClassifierSettings,
    *,
    seed: int,
    threads: int,
) -> XGBoostHead:
    """Trees on latents or marker values of the training cells, stopped by those of the validation cells."""
    return head.train(
        values,
        cells.learned.codes,
        (held_out, cells.held_out.codes),
        n_labels=len(cells.labels),
        n_trees=settings.n_trees,
        max_depth=settings.max_depth,
        learning_rate=settings.learning_rate,
        threads=threads,
        seed=seed,
    )


def _check_number(cells: H5adReader, n_mapped: int, mapped: list[str]) -> None:
    if cells.n_cells != n_mapped:
        raise RuntimeError(
            f"{cells.path}: has {cells.n_cells} cells, but {n_mapped} were mapped; delete the folder "
            f"{Path(mapped[0]).parent} and run snakemake again"
        )
