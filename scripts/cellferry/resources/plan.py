"""What a run will take: for every rule its jobs, and their predicted memory, disk and time.

From what `inspect_dataset` found in the files' headers and from the configuration; nothing is read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil

from .budget import SNAKEMAKE_MB, Budget
from ..core.text import duration
from .memory import (BLOCK_BYTES, CYTOVI_NEIGHBORS, MAP_BYTES, MARKERS_READ_MB, MAX_BASELINE_CELLS, MAX_COMPARED_CELLS, MAX_EXPRESSION_CELLS, MAX_MAP_CELLS, MB, NEEDS, SORTED_BYTES, VALUES_PER_DATASET, calibration_cap, calibration_mb, classifier_mb, judged_bytes, model_mb, preloaded_values, training_cap, training_mb)
from .schedule import fitting_epochs, reference_epochs

VALUE_BYTES = 8
"""A stored value on disk and in memory: float32, and its gene as int32."""

MOST_LATENT = 20
"""Dimensions of CytoVI's latent space at most, where they are left to it."""

CELL_BYTES = 60
"""A cell's name and codes on disk."""

UNSORTED_BYTES = 12
"""A stored value in the files by which a matrix is sorted."""


ADDED_CHANNELS = 4
"""Channels of an FCS file that are made of a cell's predictions: two labels, a probability and a p-value."""


@dataclass(frozen=True)
class Part:
    """Cells that are worked on as one: a dataset, or a held-back part of the reference."""

    name: str
    chunks: int
    cells: int
    values: int
    common_values: int


@dataclass(frozen=True)
class Job:
    """One job, or several alike.

    Attributes
    ----------
    rule
        Its rule.
    jobs
        How many there are of it.
    cells, values
        Cells and stored values that each of them works through.
    held_cells, sketch_values, more_mb
        What each holds, see `cellferry.resources.budget.Budget.require`.
    disk_mb
        What all of them write together.
    most_block
        Bytes of a block that are enough.
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
        """Memory at most, given so much; of a job that cannot run in it, what it needs.

        The script alone, without the snakemake processes around it.
        """
        need = NEEDS[self.rule]
        peak = need.held_mb(cells=int(self.held_cells), values=self.sketch_values) + int(self.more_mb)
        if need.blocks:
            block = Budget(mem_mb, attempt).predicted_block_bytes(need, held_mb=peak, most=self.most_block)
            peak += int(need.blocks * min(block, self.values * VALUE_BYTES)) // MB
        return peak

    @property
    def seconds(self) -> float:
        """Time that each of them takes on one core of the machine that was measured."""
        need = NEEDS[self.rule]
        return need.seconds + self.cells / need.cells_per_s + self.values / need.values_per_s


@dataclass(frozen=True)
class Asked:
    """What the jobs of a rule ask for, attempt by attempt: MB and minutes."""

    mem_mb: list[int]
    runtime: list[int]


@dataclass(frozen=True)
class Line:
    """A rule in the plan.

    Attributes
    ----------
    rule, jobs
        Its name and the number of its jobs.
    mem_mb
        What its jobs ask for on the first attempt.
    peak_mb, disk_mb
        Memory of its largest job, without the snakemake processes beside it; what all of them write.
    longest, seconds
        Time of its longest job and of all, on one core.
    verdict
        Whether that fits what the profile asks for.
    """

    rule: str
    jobs: int
    mem_mb: int
    peak_mb: int
    disk_mb: float
    longest: float
    seconds: float
    verdict: str


def plan(jobs: Iterable[Job], asked: dict[str, Asked]) -> list[Line]:
    """One line per rule of the jobs, in their order."""
    by_rule: dict[str, list[Job]] = {}
    for job in jobs:
        by_rule.setdefault(job.rule, []).append(job)
    return [_line(rule, found, asked[rule]) for rule, found in by_rule.items()]


def _line(rule: str, jobs: list[Job], asked: Asked) -> Line:
    longest = max(job.seconds for job in jobs)
    peaks = [
        max(job.peak_mb(mem_mb, attempt) for job in jobs)
        for attempt, mem_mb in enumerate(asked.mem_mb, start=1)
    ]
    verdicts = [
        _verdict("mem_mb", [peak + SNAKEMAKE_MB for peak in peaks], asked.mem_mb),
        _verdict("runtime", [longest / 60] * len(asked.runtime), asked.runtime),
    ]
    return Line(
        rule,
        sum(job.jobs for job in jobs),
        asked.mem_mb[0],
        peaks[0],
        sum(job.disk_mb for job in jobs),
        longest,
        sum(job.jobs * job.seconds for job in jobs),
        "; ".join(verdict for verdict in verdicts if verdict) or "fits",
    )


def _verdict(resource: str, needed: list[float], given: list[int]) -> str | None:
    """What is wrong with what is given to each attempt; None if the first has enough."""
    fits = [most >= least for least, most in zip(needed, given, strict=True)]
    if fits[0]:
        return None
    if any(fits):
        return f"{resource}: {given[0]} is too little, attempt {fits.index(True) + 1} will do"
    return f"DOES NOT FIT: {resource} is {max(given)} at most, and {ceil(needed[-1])} is needed"


@dataclass(frozen=True)
class Run:
    """What the jobs of a run follow from.

    Attributes
    ----------
    config
        The configuration, with defaults.
    found
        What `inspect_dataset` wrote, by dataset.
    whole
        The datasets.
    mapped
        Those that are mapped, with the cells that are.
    train, held_back
        The references' training cells, and their held-back parts; parts of no cells where the reference was
        trained by an earlier run.
    n_labels, heads
        Labels, and classifiers.
    """

    config: dict
    found: dict[str, dict]
    whole: dict[str, Part]
    mapped: dict[str, Part]
    train: Part
    held_back: dict[str, Part]
    n_labels: int
    heads: list[str]

    @classmethod
    def of(cls, config: dict, inspected: list[dict], trained: dict | None) -> "Run":
        """See `expected_jobs`."""
        found = {dataset["dataset"]: dataset for dataset in inspected}
        n_selected = min(config["genes"]["n_variable"], min(dataset["genes"] for dataset in inspected))
        whole = {name: _whole(dataset, config, n_selected) for name, dataset in found.items()}
        references = [name for name in found if found[name]["role"] == "reference"]
        mapped = {
            name: _labelled(whole[name], found[name], config)
            if found[name]["role"] == "evaluate"
            else whole[name]
            for name in found
            if name not in references
        }
        if trained is None:
            everything = _together([whole[name] for name in references])
            most = config["reference"]["subsample"]
            if most is not None and everything.cells > most:
                everything = _share(everything, "reference", most / everything.cells)
            n_labels = max(found[name]["n_labels"] for name in references)
        else:
            predictable = [label for label in trained["labels"].values() if label["predictable"]]
            n_cells, n_labels = sum(label["cells"] for label in predictable), len(predictable)
            everything = Part("reference", 1, n_cells, 0, 0)
        held_back = {part: _share(everything, part, config["split"][part]) for part in ("validation", "test")}
        train = _share(everything, "reference", 1 - sum(config["split"][part] for part in held_back))
        cytometry = config["modality"] == "cytometry"
        imported = isinstance(config["pretrained"], dict)  # no expression to learn from
        can = {
            "scanvi": config["model"]["type"] == "scanvi" and not cytometry,
            "cytovi": cytometry,
            "expression": not imported,
            "expression_xgboost": cytometry and not imported,
        }
        heads = [head for head in config["prediction"]["heads"] if can.get(head, True)]
        return cls(config, found, whole, mapped, train, held_back, max(2, n_labels), heads)

    @property
    def n_latent(self) -> int:
        """Dimensions of the latent space, at most where they depend on the markers."""
        configured = self.config["model"]["n_latent"]
        return MOST_LATENT if configured == "auto" else configured

    @property
    def model_mb(self) -> int:
        """MB of the model while it is trained."""
        n_genes = min(dataset["genes"] for dataset in self.found.values())
        return model_mb(min(self.config["genes"]["n_variable"], n_genes), self.config["model"]["n_hidden"])

    @property
    def neighbors(self) -> int:
        """Reference cells that are looked for around a cell."""
        return max(self.config["prediction"]["neighbors"], CYTOVI_NEIGHBORS if "cytovi" in self.heads else 0)

    @property
    def n_markers(self) -> int:
        """Markers that classifiers learn from; 0 where these are genes."""
        if self.config["modality"] != "cytometry" or not {"expression", "expression_xgboost"} & {*self.heads}:
            return 0
        return min(dataset["genes"] for dataset in self.found.values())

    @property
    def training_cells(self) -> int:
        """Cells that the classifiers learn from."""
        most = self.config["prediction"]["max_training_cells"]
        return min(training_cap(n_labels=self.n_labels, max_training_cells=most), self.train.cells)

    @property
    def classifier_mb(self) -> int:
        """MB of the trained classifiers."""
        return classifier_mb(self.training_cells, n_latent=self.n_latent)

    def calibration_mb(self, part: Part) -> int:
        """MB of the classifiers and of what they say of a held-back part."""
        n_cells = min(calibration_cap(n_labels=self.n_labels), part.cells)
        return self.classifier_mb + calibration_mb(n_cells, n_labels=self.n_labels, n_heads=len(self.heads))

    def judged(self, part: Part) -> Part:
        """A part with as many values as judging its cells takes the memory of."""
        return _judged(
            part,
            n_labels=self.n_labels,
            n_heads=len(self.heads),
            n_latent=self.n_latent,
            neighbors=self.neighbors,
        )


def expected_jobs(config: dict, inspected: list[dict], trained: dict | None = None) -> Iterator[Job]:
    """All jobs of a run.

    Parameters
    ----------
    config
        The configuration, with defaults.
    inspected
        What `inspect_dataset` wrote for each dataset.
    trained
        What an earlier run, in which the reference was trained, or the import of a model of others says of
        its labels; None where it is trained in this run.
    """
    run = Run.of(config, inspected, trained)
    trains, imports = trained is None, isinstance(config["pretrained"], dict)
    for name, dataset in run.found.items():
        yield from _data_jobs(
            run.whole[name],
            dataset,
            jobs=config["datasets"][name]["jobs"],
            materialise=config["merge"]["materialise"],
        )
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
            held_cells=run.whole[name].cells if run.found[name]["role"] == "evaluate" else 0,
            disk_mb=_h5ad_mb(part.cells, part.common_values),
        )
    if trains:
        yield from _training_jobs(run)
    if imports:
        n_cells = run.train.cells + sum(part.cells for part in run.held_back.values())
        yield Job(
            "import_reference", cells=n_cells, held_cells=n_cells, disk_mb=n_cells * 4 * run.n_latent / MB
        )
    if trains or imports:
        yield _classifier_job(run)
    yield from _mapping_jobs(run, [*run.held_back.values()] if trains else [])
    yield from _prediction_jobs(run, trains=trains, imports=imports)
    if config["modality"] == "cytometry":
        yield from _fcs_jobs(run)
    yield from _scoring_jobs(run, trains=trains)


def _reference_data_jobs(run: Run) -> Iterator[Job]:
    """Splitting the references, choosing genes on them, and writing their counts."""
    everything = _together([run.whole[name] for name in run.found if run.found[name]["role"] == "reference"])
    used = _together([run.train, *run.held_back.values()])
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
        disk_mb=_h5ad_mb(used.cells, used.common_values),
    )


def _training_jobs(run: Run) -> Iterator[Job]:
    """From the training cells to a model."""
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
    """Training the classifiers."""
    train, settings = run.train, run.config["prediction"]
    n_cells = run.training_cells
    forests = len({"xgboost", "expression_xgboost"} & {*run.heads})
    sketch = min(MAX_EXPRESSION_CELLS, n_cells) if "expression" in run.heads else 0
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
            n_markers=run.n_markers,
        ),
        disk_mb=n_cells * 4 * run.n_latent / MB,
    )


def _mapping_jobs(run: Run, held_back: list[Part]) -> Iterator[Job]:
    """Fitting the model to the batches of all parts, and mapping them."""
    fitted = [*held_back, *run.mapped.values()]
    for part in fitted:
        sketch = min(run.config["surgery"]["sketch_cells"], part.cells)
        epochs = fitting_epochs(
            run.config["surgery"]["epochs"], max(1, sketch), run.config["model"]["batch_size"]
        )
        yield Job(
            "fit_query_model",
            cells=sketch * epochs,
            held_cells=part.cells,
            sketch_values=sketch * part.common_values / max(1, part.cells),
            more_mb=run.model_mb,
            disk_mb=run.model_mb / 4,
        )
    for part in [run.train, *fitted] if held_back else fitted:
        yield _chunked(part, "map_query", more_mb=run.model_mb, bytes_per_cell=4 * run.n_latent + CELL_BYTES)


def _prediction_jobs(run: Run, *, trains: bool, imports: bool) -> Iterator[Job]:
    """Calibrating the classifiers, and predicting with them."""
    validation, test = (run.judged(run.held_back[name]) for name in ("validation", "test"))
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
            "predict_gene_loss",
            jobs=len(run.mapped),
            cells=validation.cells,
            values=validation.common_values,
            held_cells=validation.cells,
            more_mb=2 * run.calibration_mb(validation) - run.classifier_mb + run.model_mb / 2,
        )
    if run.config["modality"] == "cytometry":
        for part in run.mapped.values():
            compared = _share(part, part.name, min(1, MAX_COMPARED_CELLS / max(1, part.cells)))
            yield Job(
                "compare_mappings",
                cells=2 * compared.cells,
                held_cells=part.cells,
                sketch_values=compared.common_values,
                more_mb=run.classifier_mb + run.calibration_mb(compared) + run.model_mb / 2,
            )
    predicted = [*([run.held_back["test"]] if trains else []), *run.mapped.values()]
    for part in predicted:
        yield _chunked(run.judged(part), "predict_labels", more_mb=run.classifier_mb, bytes_per_cell=100)
    counts = run.config["output"]["labelled"] == "all"
    for part in predicted:
        values = part.common_values if counts else 0
        yield Job(
            "gather_predictions",
            cells=part.cells,
            held_cells=part.cells,
            values=values,
            # Without counts its blocks are of strings alone.
            more_mb=0 if counts else BLOCK_BYTES / MB,
            disk_mb=(part.cells * (4 * run.n_latent + 200) + 2 * values) / MB,
        )
    if trains or imports:
        yield Job(
            "leave_labels_out",
            # Measured at 20 labels, each of which is left out once.
            cells=min(calibration_cap(n_labels=run.n_labels), test.cells) * run.n_labels / 20,
            values=test.common_values,
            held_cells=test.cells,
            more_mb=2 * run.calibration_mb(test),
        )


def _fcs_jobs(run: Run) -> Iterator[Job]:
    """Writing the queries' samples as FCS files, all channels and latents as float32."""
    for name in run.mapped:
        part, found = run.whole[name], run.found[name]
        if found["role"] == "query":
            n_channels = found["genes"] + ADDED_CHANNELS + run.n_latent
            disk_mb = 4 * part.cells * n_channels / MB
            yield Job("write_fcs", cells=part.cells, values=part.values, disk_mb=disk_mb)


def _scoring_jobs(run: Run, *, trains: bool) -> Iterator[Job]:
    """Scores and the report."""
    scored = [part for name, part in run.mapped.items() if run.found[name].get("label")]
    for part in [*([run.held_back["test"]] if trains else []), *scored]:
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
    queries = [part for name, part in run.mapped.items() if run.found[name]["role"] == "query"]
    shown = run.train.cells + sum(part.cells for part in queries)
    yield Job("report", held_cells=shown, more_mb=MAP_BYTES * min(shown, MAX_MAP_CELLS) / MB, disk_mb=1)


def _whole(dataset: dict, config: dict, n_selected: int) -> Part:
    own = config["datasets"][dataset["dataset"]]
    cells = dataset["cells_kept"]
    values = cells * dataset["values_per_cell"]
    # Variable genes hold about twice their share of the stored values.
    common = values * min(1.0, 2 * n_selected / max(1, dataset["genes"]))
    return Part(dataset["dataset"], own["chunks"], cells, int(values), int(common))


def _labelled(part: Part, dataset: dict, config: dict) -> Part:
    """The cells of a dataset to evaluate that are scored."""
    labelled = part.cells - dataset.get("unlabelled_cells", 0)
    most = config["datasets"][part.name]["max_cells"]
    return _share(part, part.name, min(labelled, labelled if most is None else most) / max(1, part.cells))


def _together(parts: list[Part]) -> Part:
    chunks, cells, values, common = (
        sum(getattr(part, name) for part in parts) for name in ("chunks", "cells", "values", "common_values")
    )
    return Part("reference", chunks, cells, values, common)


def _judged(part: Part, *, n_labels: int, n_heads: int, n_latent: int, neighbors: int) -> Part:
    """A part whose values are as many as fill what its cells take while the heads look at them."""
    a_cell = judged_bytes(
        n_labels=n_labels,
        n_heads=n_heads,
        neighbors=neighbors,
        n_latent=n_latent,
        values=part.common_values / max(1, part.cells),
    )
    return replace(part, common_values=part.cells * a_cell // VALUE_BYTES)


def _share(part: Part, name: str, share: float) -> Part:
    return Part(
        name,
        ceil(part.chunks * share) if name in ("validation", "test") else part.chunks,
        round(part.cells * share),
        round(part.values * share),
        round(part.common_values * share),
    )


def _data_jobs(part: Part, dataset: dict, *, jobs: int, materialise: bool) -> Iterator[Job]:
    in_file = dataset["cells"]
    yield Job("inspect_dataset", held_cells=in_file, cells=in_file)
    values = in_file * dataset["values_per_cell"]
    sorting_mb = 0 if dataset["in_order"] else UNSORTED_BYTES * values / MB
    yield Job(
        "convert_to_chunks",
        jobs=jobs,
        cells=in_file / jobs,
        # Each job reads all of a file that is not in the order of its cells.
        values=values / jobs if dataset["in_order"] else values,
        more_mb=dataset.get("held_mb", 0),
        disk_mb=_h5ad_mb(part.cells, part.values) + sorting_mb,
        most_block=BLOCK_BYTES if dataset["in_order"] else SORTED_BYTES,
    )
    yield Job(
        "merge_h5ad",
        cells=part.cells,
        values=part.values if materialise else 0,
        disk_mb=_h5ad_mb(part.cells, part.values if materialise else 0),
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


def _h5ad_mb(cells: float, values: float) -> float:
    return (cells * CELL_BYTES + values * VALUE_BYTES) / MB


def as_table(lines: list[Line], *, datasets: list[dict], free_mb: float, note: str) -> str:
    """The plan as text, at most 100 columns wide: the datasets, the rules, and last what does not fit.

    Parameters
    ----------
    lines
        The rules.
    datasets
        What `inspect_dataset` wrote for each.
    free_mb
        Room for results.
    note
        What the columns are, to stand below them.
    """
    heads = ("rule", "jobs", "memory", "predicted", "disk", "longest", "all jobs", "")
    rows = [
        (
            line.rule,
            f"{line.jobs:,}",
            f"{line.mem_mb:,} MB",
            f"{line.peak_mb + SNAKEMAKE_MB:,} MB",
            size(line.disk_mb),
            duration(line.longest),
            duration(line.seconds),
            _mark(line.verdict),
        )
        for line in lines
    ]
    largest = max(lines, key=lambda line: line.peak_mb)
    disk_mb = sum(line.disk_mb for line in lines)
    rows.append(
        (
            "all",
            f"{sum(line.jobs for line in lines):,}",
            f"{max(line.mem_mb for line in lines):,} MB",
            f"{largest.peak_mb + SNAKEMAKE_MB:,} MB",
            size(disk_mb),
            duration(max(line.longest for line in lines)),
            duration(sum(line.seconds for line in lines)),
            "fits" if disk_mb < free_mb else TOO_LITTLE,
        )
    )
    return "\n".join(
        [*_dataset_lines(datasets), "", *_aligned([heads, *rows]), note, *_verdicts(lines, disk_mb, free_mb)]
    )


TOO_LITTLE = "TOO LITTLE"
"""The mark of what does not fit, in the table."""

BY_CHUNKS = ("map_query", "predict_labels")
"""Rules whose jobs become shorter with more chunks."""


def _mark(verdict: str) -> str:
    """A verdict in a word, for the table."""
    if verdict == "fits":
        return verdict
    return TOO_LITTLE if "DOES NOT FIT" in verdict else "later"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of a table: the first and the last column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if position in (0, len(cells) - 1) else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]


def _dataset_lines(datasets: list[dict]) -> list[str]:
    """What the datasets are, one per line."""
    rows = []
    for found in datasets:
        kept, whole = found["cells_kept"], found["cells"]
        labels = f"{found['n_labels']:,}" if found.get("label") else ""
        rows.append(
            (
                found["dataset"] if len(found["dataset"]) <= 30 else f"{found['dataset'][:29]}…",
                found["role"],
                f"{kept:,}" if kept == whole else f"{kept:,} of {whole:,}",
                f"{found['genes']:,}",
                labels,
                f"{found.get('n_batches', 1):,}",
                "",
            )
        )
    return _aligned([("dataset", "role", "cells", "genes", "labels", "batches", ""), *rows])


def _verdicts(lines: list[Line], disk_mb: float, free_mb: float) -> list[str]:
    """What does not fit, and what fits on a later attempt only, each with what to do."""
    wrong = [
        f"  {line.rule}: {verdict}.\n      {_remedy(line, verdict)}"
        for line in lines
        for verdict in line.verdict.split("; ")
        if verdict.startswith("DOES NOT FIT")
    ]
    wrong = [text.replace("DOES NOT FIT: ", "") for text in wrong]
    if disk_mb >= free_mb:
        wrong.append(
            f"  disk: the results take {size(disk_mb)}, and {size(free_mb)} are free here.\n"
            "      Free some space, or work in a folder elsewhere (snakemake --directory)."
        )
    later = [
        f"  {line.rule}: {verdict}."
        for line in lines
        for verdict in line.verdict.split("; ")
        if verdict.endswith("will do")
    ]
    said = []
    if later:
        said += ["", "Fits on a later attempt, which costs the time of those before:", *later]
    if wrong:
        return [*said, "", f"DOES NOT FIT ({len(wrong)}):", *wrong]
    return [*said, "", f"Everything fits; {size(free_mb)} of disk are free here."]


def _remedy(line: Line, verdict: str) -> str:
    """What to do about a rule that does not fit."""
    needed = verdict.split(" and ")[-1].split(" is ")[0]
    if "mem_mb" in verdict:
        return f"In the profile, set mem_mb of {line.rule} (and most_mem_mb) to {needed} or more."
    if line.rule in BY_CHUNKS:
        return "Raise datasets.NAME.chunks, so that each job is shorter."
    if line.rule == "convert_to_chunks":
        return "Raise datasets.NAME.jobs, so that more jobs share the file."
    if line.rule == "train_reference_model":
        return "Use a GPU, or set reference.subsample; started again, it goes on where it stopped."
    return f"In the profile, set runtime of {line.rule} (and most_minutes) to {needed} or more."


def size(mb: float) -> str:
    """Megabytes in words."""
    return f"{mb / 1024:,.1f} GB" if mb >= 1024 else f"{ceil(mb)} MB"
