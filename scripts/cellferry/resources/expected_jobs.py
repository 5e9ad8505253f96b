"""The jobs of a run, with the numbers of cells and values of each."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..artifacts.inspection import Inspection
from ..artifacts.labels import ReferenceLabels
from ..config.available_heads import ON_SKETCH
from ..references.archive import is_packed
from .budget import Budget
from .memory import (
    BLOCK_BYTES,
    MAP_BYTES,
    MARKERS_READ_MB,
    MAX_BASELINE_CELLS,
    MAX_LEFT_OUT,
    MAX_MAP_CELLS,
    MAX_PANEL_CELLS,
    MB,
    MEMORY_MODELS,
    PANEL_VALUE_BYTES,
    SORTED_BYTES,
    VALUES_PER_DATASET,
    calibration_cap,
    expression_cap,
    preloaded_values,
    selection_cap,
    shift_cap,
    training_mb,
)
from .parts import VALUE_BYTES, Part, Run, joined, share_of
from .schedule import fitting_epochs, reference_epochs

CELL_BYTES = 60
"""A cell's name and codes on disk."""

PACKED_BYTES = {"rna": 3, "cytometry": 5}
"""Upper limit of a packed value on disk: counts take 1.9 to 2.3 bytes, intensities hardly shrink."""

UNSORTED_BYTES = 12
"""A stored value in the temporary files for sorting a matrix."""

ADDED_CHANNELS = 4
"""FCS channels of predictions: two labels, a probability and a p-value."""


@dataclass(frozen=True)
class Job:
    """One job, or several equal ones.

    Attributes
    ----------
    rule
        Its rule.
    jobs
        Number of these jobs.
    cells, values
        Cells and stored values that each processes.
    held_cells, sketch_values, more_mb
        Memory that each holds, see `cellferry.resources.budget.Budget.require`.
    disk_mb
        Disk space of all of them together.
    most_block
        Largest useful block in bytes.
    """

    rule: str
    jobs: int = 1
    cells: float = 0
    values: float = 0
    held_cells: float = 0
    sketch_values: float = 0
    more_mb: float = 0
    disk_mb: float = 0
    most_block: int = BLOCK_BYTES

    def peak_mb(self, mem_mb: int, attempt: int = 1) -> int:
        """Peak memory with so much `mem_mb`; the minimum if the job cannot run with it.

        The script alone, without the snakemake processes around it.
        """
        need = MEMORY_MODELS[self.rule]
        peak = need.held_mb(cells=int(self.held_cells), values=self.sketch_values) + int(self.more_mb)
        if need.blocks:
            block = Budget(mem_mb, attempt).predicted_block_bytes(need, held_mb=peak, most=self.most_block)
            peak += int(need.blocks * min(block, self.values * VALUE_BYTES)) // MB
        return peak

    @property
    def seconds(self) -> float:
        """Time of each job on one core of the measured machine."""
        need = MEMORY_MODELS[self.rule]
        return need.seconds + self.cells / need.cells_per_s + self.values / need.values_per_s


def expected_jobs(
    config: dict, inspected: list[Inspection], trained: ReferenceLabels | None = None
) -> Iterator[Job]:
    """All jobs of a run.

    Parameters
    ----------
    config
        The configuration, with defaults.
    inspected
        Inspections of all datasets.
    trained
        Labels of a reference from an earlier run or an import; None if this run trains it.
    """
    run = Run.of(config, inspected, trained)
    trains, imports = trained is None, isinstance(config["pretrained"], dict)
    if is_packed(config["pretrained"]):
        yield Job("unpack_reference")
    for name in run.found:
        yield from _data_jobs(run, name)
    yield Job("check_datasets")
    if config["modality"] == "cytometry":
        yield Job("compare_panels")
    if trains:
        yield from _reference_data_jobs(run)
    for name, part in run.mapped.items():
        yield Job(
            "subset_common_genes",
            cells=run.whole[name].cells,
            values=run.whole[name].values,
            held_cells=run.whole[name].cells if run.found[name].role == "evaluate" else 0,
            disk_mb=_h5ad_mb(part.cells, part.common_values, config["modality"]),
        )
    if trains:
        yield from _training_jobs(run)
    if imports:
        n_cells = run.train.cells + sum(part.cells for part in run.held_out.values())
        yield Job(
            "import_reference", cells=n_cells, held_cells=n_cells, disk_mb=n_cells * 4 * run.n_latent / MB
        )
    if trains or imports:
        yield _classifier_job(run)
    yield from _mapping_jobs(run, [*run.held_out.values()] if trains else [])
    yield from _prediction_jobs(run, trains=trains, imports=imports)
    if config["modality"] == "cytometry":
        yield from _fcs_jobs(run)
    yield from _scoring_jobs(run, trains=trains)


def _reference_data_jobs(run: Run) -> Iterator[Job]:
    """Jobs that split the references, select genes and write counts."""
    everything = joined([run.whole[name] for name in run.found if run.found[name].role == "reference"])
    used = joined([run.train, *run.held_out.values()])
    yield Job(
        "split_reference", held_cells=everything.cells, cells=everything.cells, disk_mb=everything.cells / MB
    )
    sketch = min(run.config["genes"]["sketch_cells"], run.train.cells)
    sketch_values = sketch * everything.values / max(1, everything.cells)
    yield Job(
        "select_markers" if run.config["modality"] == "cytometry" else "select_genes",
        held_cells=everything.cells,
        values=sketch_values,
        sketch_values=sketch_values,
        disk_mb=1,
    )
    yield Job(
        "subset_reference",
        cells=everything.cells,
        values=everything.values,
        held_cells=everything.cells,
        disk_mb=_h5ad_mb(used.cells, used.common_values, run.config["modality"]),
    )


def _training_jobs(run: Run) -> Iterator[Job]:
    """Jobs from the training cells to a model."""
    train = run.train
    yield Job(
        "shuffle_reference",
        cells=train.cells,
        values=train.common_values,
        held_cells=train.cells,
        sketch_values=min(train.common_values, VALUES_PER_DATASET),
        disk_mb=4 * train.common_values / MB,
    )
    epochs = reference_epochs(run.config["model"]["epochs"], max(1, train.cells))
    batch_size = run.config["model"]["batch_size"]
    yield Job(
        "train_reference_model",
        cells=epochs * train.cells,
        sketch_values=preloaded_values(batch_size, train.cells, train.common_values),
        more_mb=run.model_mb,
        disk_mb=2 * run.model_mb,
    )


def _classifier_job(run: Run) -> Job:
    """The job that trains the classifiers."""
    train, settings = run.train, run.config["prediction"]
    n_cells = run.training_cells
    forests = len({"xgboost", "expression_xgboost"} & {*run.heads})
    on_sketch = not set(ON_SKETCH).isdisjoint(run.heads)
    n_labels = run.n_labels
    sketch = (
        min(expression_cap(n_labels=n_labels), n_cells) + selection_cap(n_labels=n_labels) if on_sketch else 0
    )
    sketch_values = sketch * train.common_values / max(1, train.cells)
    return Job(
        "train_classifier",
        # Measured at 100 rounds of 20 labels.
        cells=n_cells * settings["n_trees"] * run.n_labels / 2000 * forests,
        values=sketch_values,
        held_cells=train.cells,
        sketch_values=sketch_values,
        more_mb=training_mb(
            n_cells,
            n_labels=run.n_labels,
            n_latent=run.n_latent,
            neighbors=settings["neighbors"],
            trees=run.grows_trees,
            n_markers=run.n_markers,
            n_genes=run.n_markers or run.config["genes"]["n_variable"],
        ),
        disk_mb=n_cells * 4 * run.n_latent / MB,
    )


def _mapping_jobs(run: Run, held_out: list[Part]) -> Iterator[Job]:
    """Jobs that fit the model to the batches of all parts, and map them."""
    fitted = [*held_out, *run.mapped.values()]
    for part in fitted:
        yield _fitting_job(run, part)
    for part in [run.train, *fitted] if held_out else fitted:
        yield _chunked(
            part, "map_query", more_mb=run.encoder_mb, bytes_per_cell=8 * run.n_latent + CELL_BYTES
        )


def _fitting_job(run: Run, part: Part) -> Job:
    """The job that fits the reference's model to a part's batches."""
    settings = run.config["surgery"]
    if not settings["fit"]:
        return Job("copy_reference_model", cells=part.cells, held_cells=part.cells, disk_mb=run.model_mb / 4)
    sketch = min(settings["sketch_cells"], part.cells)
    epochs = fitting_epochs(settings["epochs"], max(1, sketch), run.config["model"]["batch_size"])
    return Job(
        "fit_query_model",
        cells=sketch * epochs,
        held_cells=part.cells,
        sketch_values=sketch * part.common_values / max(1, part.cells),
        more_mb=run.model_mb,
        disk_mb=run.model_mb / 4,
    )


def _prediction_jobs(run: Run, *, trains: bool, imports: bool) -> Iterator[Job]:
    """Jobs that calibrate the classifiers and predict."""
    validation, test = (run.judged(run.held_out[name]) for name in ("validation", "test"))
    if trains or imports:
        yield Job(
            "calibrate_classifier",
            cells=validation.cells,
            values=validation.common_values,
            held_cells=validation.cells,
            more_mb=run.calibration_mb(validation),
        )
    if not imports and (not trains or not run.config["genes"]["retrain_on_common"]):
        yield Job(
            "estimate_missing_genes",
            jobs=len(run.mapped),
            cells=validation.cells,
            values=validation.common_values,
            held_cells=validation.cells,
            more_mb=2 * run.calibration_mb(validation)
            - run.classifier_mb
            + run.encoder_mb
            + PANEL_VALUE_BYTES * _panel_values(run, validation) / MB,
        )
    predicted = [*([run.held_out["test"]] if trains else []), *run.mapped.values()]
    for part in predicted if run.config["prediction"]["shift"] == "adapt" else []:
        drawn = share_of(part, part.name, min(1, shift_cap(n_labels=run.n_labels) / max(1, part.cells)))
        yield Job(
            "raise_thresholds",
            cells=drawn.cells,
            values=drawn.common_values,
            held_cells=part.cells,
            more_mb=run.calibration_mb(drawn),
        )
    for part in predicted:
        more_mb = run.classifier_mb + run.sums_mb
        yield _chunked(run.judged(part), "predict_labels", more_mb=more_mb, bytes_per_cell=100)
    counts = run.config["output"]["labeled"] == "all"
    for part in predicted:
        values = part.common_values if counts else 0
        yield Job(
            "gather_predictions",
            cells=part.cells,
            held_cells=part.cells,
            values=values,
            # Sums of genes of the query and the reference; without counts, blocks contain only strings.
            more_mb=2 * run.sums_mb + (0 if counts else BLOCK_BYTES / MB),
            disk_mb=(part.cells * (4 * run.n_latent + 200) + 2 * values) / MB,
        )
    if trains or imports:
        yield Job(
            "leave_labels_out",
            # Measured at 20 labels, each left out once.
            cells=min(calibration_cap(n_labels=run.n_labels), test.cells)
            * min(run.n_labels, MAX_LEFT_OUT)
            / 20,
            values=test.common_values,
            held_cells=test.cells,
            more_mb=2 * run.calibration_mb(test),
        )


def _panel_values(run: Run, validation: Part) -> float:
    """Values of the cells used to estimate the loss by a query's missing genes."""
    learned = min(MAX_PANEL_CELLS, run.train.cells) / max(1, run.train.cells)
    return learned * run.train.common_values + validation.common_values


def _fcs_jobs(run: Run) -> Iterator[Job]:
    """Jobs that write the queries' samples as FCS files, all channels and latents as float32."""
    for name in run.mapped:
        part, inspection = run.whole[name], run.found[name]
        if inspection.role == "query":
            n_channels = inspection.genes + ADDED_CHANNELS + run.n_latent
            disk_mb = 4 * part.cells * n_channels / MB
            yield Job("write_fcs", cells=part.cells, values=part.values, disk_mb=disk_mb)


def _scoring_jobs(run: Run, *, trains: bool) -> Iterator[Job]:
    """Jobs for scores and the report."""
    scored = [part for name, part in run.mapped.items() if run.found[name].label]
    for part in [*([run.held_out["test"]] if trains else []), *scored]:
        cells = [min(MAX_BASELINE_CELLS, some.cells) for some in (run.train, part)]
        values = sum(
            n * some.common_values / max(1, some.cells)
            for n, some in zip(cells, (run.train, part), strict=True)
        )
        yield Job(
            "evaluate",
            held_cells=run.train.cells + part.cells,
            cells=part.cells,
            sketch_values=values,
            more_mb=MARKERS_READ_MB if run.config["modality"] == "cytometry" else 0,
        )
    yield Job("gather_scores")
    queries = [part for name, part in run.mapped.items() if run.found[name].role == "query"]
    shown = run.train.cells + sum(part.cells for part in queries)
    yield Job("report", held_cells=shown, more_mb=MAP_BYTES * min(shown, MAX_MAP_CELLS) / MB, disk_mb=1)


def _data_jobs(run: Run, name: str) -> Iterator[Job]:
    """Jobs from a dataset's files to a merged file."""
    part, dataset, modality = run.whole[name], run.found[name], run.config["modality"]
    jobs, copied = run.config["datasets"][name]["jobs"], run.config["merge"]["materialize"]
    in_file = dataset.cells
    yield Job("inspect_dataset", held_cells=in_file, cells=in_file)
    values = in_file * dataset.values_per_cell
    sorting_mb = 0 if dataset.in_order else UNSORTED_BYTES * values / MB
    yield Job(
        "convert_to_chunks",
        jobs=jobs,
        cells=in_file / jobs,
        # Each job reads the whole of a file that is not in the cells' order.
        values=values / jobs if dataset.in_order else values,
        more_mb=dataset.held_mb,
        disk_mb=_h5ad_mb(part.cells, part.values, modality) + sorting_mb,
        most_block=BLOCK_BYTES if dataset.in_order else SORTED_BYTES,
    )
    yield Job(
        "merge_h5ad",
        cells=part.cells,
        values=part.values if copied else 0,
        disk_mb=_h5ad_mb(part.cells, part.values if copied else 0, modality),
    )


def _chunked(part: Part, rule: str, *, more_mb: float, bytes_per_cell: int) -> Job:
    return Job(
        rule,
        jobs=part.chunks,
        cells=part.cells / part.chunks,
        values=part.common_values / part.chunks,
        more_mb=more_mb,
        disk_mb=part.cells * bytes_per_cell / MB,
    )


def _h5ad_mb(cells: float, values: float, modality: str) -> float:
    return (cells * CELL_BYTES + values * PACKED_BYTES[modality]) / MB
