"""Look at a user's file without reading its counts: what it holds, and all that is wrong with it."""

import difflib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cellferry.artifacts.h5ad_writer import MOST_CATEGORIES
from cellferry.core.atomic import complete
from cellferry.core.logs import logged
from cellferry.core.progress import Progress
from cellferry.cytometry.channels import named_channels
from cellferry.cytometry.marker_names import CHANNEL, DETECTOR, KIND, MARKER, listed, marker_key, read_markers
from cellferry.cytometry.panels import markers_of
from cellferry.cytometry.value_kinds import Look, look
from cellferry.datasets.cell_filter import names_wanted
from cellferry.datasets.dataset import Dataset, run_bounds
from cellferry.datasets.raw_counts import SmallestValues, Source, check_counts, glance_problem
from cellferry.datasets.rounding import Rounding
from cellferry.datasets.unused_names import unused_names
from cellferry.errors import InputError
from cellferry.features.excel_dates import dates_among
from cellferry.features.gene_ids import id_kind
from cellferry.formats import Block, Header, OutOfOrderError
from cellferry.formats.cell_names import count_repeated, hashes
from cellferry.labels.levels import Level, levels_of_columns
from cellferry.labels.names import Counted, LabelNames, as_labels, count_names
from cellferry.labels.vocabulary import SET_SEPARATOR
from cellferry.runs.hashes import MADE_FROM, of_settings

FIRST_SLICE_BYTES = 4 * 2**20
FIRST_EVENTS, LEAST_EVENTS = 50_000, 100
"""Of cytometry: events that are looked at in all files after the first together, and in each at least.

Fewer may have sorted values, or none but small ones, by chance.
"""

HUGE = 1e8
"""No instrument measures more."""

OWN_COLUMNS = ("batch", "label")
"""Columns of obs that cellferry writes itself."""

LABELLED = {"reference": "a reference", "evaluate": "a dataset to evaluate"}
"""Roles that need labels."""

MOST_DATES_LISTED = 30

MOST_LISTED = 200
"""Batches listed one by one."""


def inspect_dataset(
    inspected: str, *, name: str, config: dict[str, Any], label_names: LabelNames, made_from: str = ""
) -> None:
    """Write what a dataset's file holds, and its problems, as JSON.

    The user's mistakes do not end this function: they are collected under `problems`, so that all of
    them can be told at once.

    Parameters
    ----------
    inspected
        The JSON file to write.
    name, config
        The dataset's name and its part of the configuration, with defaults.
    label_names
        What its labels are called.
    made_from
        Hash of all that the inspection depends on, to recognise it by.
    """
    found: dict[str, Any] = {
        "dataset": name,
        "role": config["role"],
        "path": config["path"],
        MADE_FROM: made_from,
    }
    problems: list[str] = []
    warnings: list[str] = []
    if config["role"] in LABELLED and not config["label"]:
        problems.append(
            f"datasets.{name}.label: {LABELLED[config['role']]} needs the obs column with its labels; name it"
        )
    try:
        dataset = Dataset(name, config)
        found |= describe_file(dataset)
        problems += column_problems(dataset)
        found |= describe_cells(dataset, label_names, problems, warnings)
        problems += shape_problems(dataset)
        firsts = first_blocks(dataset, problems)
        found["values_per_cell"], rounding, doubts = look_at_counts(dataset, firsts, problems)
        if rounding:
            found["rounding"] = {name: getattr(rounding, name) for name in ("cells", "before", "after")}
        if dataset.is_cytometry and any(firsts.values()):
            found |= describe_channels(dataset, firsts, problems, doubts)
            found.setdefault("named", {})["cytometry.markers"] = named_channels(
                dataset.config["markers"], [file.var for file in dataset.headers]
            )
        found["in_order"] = dataset.in_order
        warnings += doubts
        warnings += [f"{dataset.header.path}: {warning}" for warning in dataset.header.warnings]
        if not dataset.is_cytometry:
            warnings += date_warnings(dataset.header)
        for remark in dataset.header.remarks:
            print(remark)
    except InputError as error:
        problems.append(str(error))
    with complete(inspected) as temporary:
        summary = found | {"problems": list(dict.fromkeys(problems)), "warnings": warnings}
        temporary.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for kind in ("problems", "warnings"):
        for sentence in summary[kind]:
            print(f"{kind[:-1]}: {sentence}")


def describe_file(dataset: Dataset) -> dict[str, Any]:
    """Shape, storage, place of the counts and kinds of gene ids."""
    header = dataset.header
    columns = {column: header.var[column].to_numpy(dtype=object) for column in header.var}
    names = header.var.index.to_numpy(dtype=object)
    return {
        "format": header.format,
        "cells": header.n_cells,
        "genes": header.n_genes,
        "held_mb": header.held_mb,
        "nonzeros": header.nonzeros,
        "dtype": header.dtype,
        "storage": header.storage,
        "counts": header.counts,
        "places": header.places,
        "gene_id": gene_id_kind(names),
        "gene_id_columns": {column: gene_id_kind(values) for column, values in columns.items()},
        "duplicated_genes": int(header.var.index.duplicated().sum()),
        "obs_columns": dataset.obs_columns,
    }


def date_warnings(header: Header) -> list[str]:
    """Names of genes that a spreadsheet turned into dates, and the genes they may have been."""
    found = dates_among(header.var)
    if not found:
        return []
    listed = ", ".join(f"{date} ({genes})" for date, genes in list(found.items())[:MOST_DATES_LISTED])
    more = f" and {len(found) - MOST_DATES_LISTED} more" if len(found) > MOST_DATES_LISTED else ""
    names = header.var.index
    repeated = sorted({name for name in names[names.duplicated()] if name in found})
    summed = f"; {', '.join(repeated)} stand several times and would be added up" if repeated else ""
    return [
        f"{header.path}: {len(found)} gene(s) are called by dates or numbers that a spreadsheet made of "
        f"their names: {listed}{more}{summed}; they match no gene, so export the counts again without "
        "opening them in a spreadsheet"
    ]


def gene_id_kind(ids: np.ndarray) -> str:
    """`ensembl`, `symbol`, or `other` where most are numbers or missing."""
    if sum(value is None or not str(value).strip() or str(value).isdigit() for value in ids) * 2 >= len(ids):
        return "other"
    return id_kind(ids)


def column_problems(dataset: Dataset) -> list[str]:
    """Columns that the configuration names and the dataset lacks, or that cannot be carried along."""
    config, known = dataset.config, dataset.obs_columns
    wanted = [(key, config[key]) for key in ("label", "batch") if config[key]]
    wanted += [(f"cells.{column}", column) for column in config["cells"]]
    wanted += [(key, column) for key in ("levels", "keep_obs") for column in config[key]]
    problems = []
    for key, column in wanted:
        if column not in known:
            close = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            suggestion = f" (did you mean '{close[0]}'?)" if close else ""
            remedy = (
                f"it has: {', '.join(known)}" if known else f"it has none; give a table, {dataset.key('obs')}"
            )
            tables = "".join(f" with {path}" for path in dataset.table_paths[:1])
            problems.append(
                f"{dataset.key(key)}: {dataset.header.path}{tables} has no obs column '{column}'"
                f"{suggestion}; {remedy}"
            )
    problems += [
        f"{dataset.key('keep_obs')}: '{column}' is the name of a column that the workflow writes itself; "
        f"rename the column in {dataset.header.path} or leave it out"
        for column in config["keep_obs"]
        if column in OWN_COLUMNS
    ]
    return problems


def describe_cells(
    dataset: Dataset, label_names: LabelNames, problems: list[str], warnings: list[str]
) -> dict[str, Any]:
    """Labels, levels, batches and repeated names of the cells that the filter keeps.

    Adds to `problems` and `warnings`.
    """
    config, path = dataset.config, dataset.header.path
    known = set(dataset.obs_columns)
    if not known.issuperset(config["cells"]):
        return {}  # the missing filter column is a problem already, and what it keeps is unknown
    label = config["label"] if config["label"] in known else None
    batch = config["batch"] if config["batch"] in known else None
    above = [column for column in config["levels"] if label and column in known]
    columns = list(dict.fromkeys([*config["cells"], *(c for c in (label, batch) if c), *above]))
    dataset.load_tables(columns)
    labels: Counter = Counter()
    lines: Counter = Counter()
    batches: Counter = Counter()
    filtered: dict[str, set[str]] = {column: set() for column in config["cells"]}
    spellings: set[str] = set()
    seen: list[np.ndarray] = []
    are_kept: list[np.ndarray] = []
    counters = {"label": (label, labels), "batch": (batch, batches)}
    progress = Progress("looked at the names of", dataset.header.n_cells)
    for cells in dataset.cells(columns):
        kept = dataset.kept(cells)
        are_kept.append(kept)
        for column, values in filtered.items():
            add_names(values, cells.obs[column])
        for column in above:
            add_names(spellings, cells.obs[column])
        seen.append(hashes(cells.names[kept]))
        for key, (column, counter) in list(counters.items()):
            if column:
                counter.update(as_labels(cells.obs[column][kept]).tolist())
                if len(counter) > MOST_CATEGORIES:
                    del counters[key]
                    problems.append(
                        f"{dataset.key(key)}: the obs column '{column}' of {path} has more than "
                        f"{MOST_CATEGORIES} different values, which is no {key}; name another column"
                    )
        if above and len(lines) <= MOST_CATEGORIES:
            lines.update(count_lines([cells.obs[column][kept] for column in (label, *above)], label_names))
        progress.add(len(kept))
    remarks, left_out = dataset.annotation_in_words([*columns, *config["keep_obs"]])
    for remark in remarks:
        print(remark)
    warnings += left_out
    n_kept = sum(map(len, seen))
    n_repeated = count_repeated(seen)
    unused = list(unused_values(dataset, filtered))
    problems += [problem for some, _ in unused for problem in some]
    warnings += [warning for _, some in unused for warning in some]
    if dataset.header.n_cells and n_kept == 0 and not any(some for some, _ in unused):
        problems.append(
            f"{dataset.key('cells')}: none of the {dataset.header.n_cells} cells of {path} has all of these "
            f"values ({config['cells']}); correct them"
        )
    repeated = dataset.repeated_name(seen) if n_repeated else None
    if repeated is not None:
        problems.append(
            f"{path}: {n_repeated} cell name(s) stand more than once, such as '{repeated}'; make them "
            f"differ, for example with {dataset.key('prefix')}, or select cells of one sample with "
            f"{dataset.key('cells')}"
        )
    counted = count_names(labels, label_names)
    levels: list[Level] = []
    if label and n_kept:
        problems += label_problems(dataset, label, counted, n_kept)
        warnings += label_warnings(dataset, label, counted)
        levels = described_levels(dataset, above, lines, problems)
    return {
        "named": {"labels.rename": label_names.renamed({*filter(None, labels), *spellings}) if label else {}},
        "cells_kept": n_kept,
        "starts": chunk_starts(are_kept, config["chunks"]),
        "duplicated_cells": n_repeated,
        "label": config["label"],
        "n_labels": len(counted.labels),
        "labels": dict(counted.labels.most_common()),
        "unlabelled_cells": counted.unlabelled,
        "levels": levels,
        "batch": config["batch"],
        "n_batches": len(batches) if batch else 1,
        "batches": {str(value): n for value, n in batches.most_common(MOST_LISTED)},
    }


def unused_values(dataset: Dataset, found: dict[str, set[str]]) -> Iterator[tuple[list[str], list[str]]]:
    """Problems and warnings of values that the cell filter names, and that its columns do not hold."""
    for column, values in found.items():
        yield unused_names(
            names_wanted(dataset.config["cells"][column], values),
            key=dataset.key(f"cells.{column}"),
            what=f"value of the obs column '{column}' of {dataset.header.path} ({listed(sorted(values))})",
            known=values,
        )


def add_names(names: set[str], values: np.ndarray) -> None:
    """Add the different values of a column, as they are called, to names; no more than can be listed."""
    if len(names) <= MOST_CATEGORIES:
        names.update(name for name in as_labels(pd.unique(values)) if name is not None)


def count_lines(columns: list[np.ndarray], label_names: LabelNames) -> dict[tuple, int]:
    """Cells per tuple of values of label columns, None where there is none."""
    named = pd.DataFrame({number: label_names(values) for number, values in enumerate(columns)})
    counted = named.value_counts(dropna=False, sort=False)
    return {tuple(None if pd.isna(value) else value for value in line): int(n) for line, n in counted.items()}


def described_levels(
    dataset: Dataset, columns: list[str], lines: Counter, problems: list[str]
) -> list[Level]:
    """The levels in the given columns; adds to `problems` where they are none."""
    key = dataset.key("levels")
    if len(lines) > MOST_CATEGORIES:
        problems.append(
            f"{key}: {', '.join(columns)} of {dataset.header.path} have more than {MOST_CATEGORIES} "
            "different values, and are no coarser labels; name other columns"
        )
        return []
    try:
        return levels_of_columns(columns, lines, key)
    except InputError as error:
        problems.append(str(error))
        return []


def chunk_starts(are_kept: list[np.ndarray], n_chunks: int) -> list[int]:
    """Where chunks begin, and where the last one ends, counted in all cells."""
    kept = np.flatnonzero(np.concatenate(are_kept)) if are_kept else np.empty(0, dtype=np.int64)
    end = kept[-1:] + 1 if len(kept) else np.zeros(1, dtype=np.int64)
    return np.append(kept, end)[run_bounds(len(kept), n_chunks)].tolist()


def label_problems(dataset: Dataset, label: str, counted: Counted, n_kept: int) -> list[str]:
    """What is wrong with a dataset's labels."""
    key, path = dataset.key("label"), dataset.header.path
    if counted.unlabelled == n_kept:
        return [f"{key}: the obs column '{label}' of {path} has no value for any cell; name another column"]
    if dataset.config["role"] != "reference":
        return []
    if counted.unlabelled * 2 > n_kept:
        return [
            f"{key}: {counted.unlabelled} of the {n_kept} cells of {path} have no label in '{label}'; name "
            f"another column, or select labelled cells with {dataset.key('cells')}"
        ]
    return [
        f"{key}: the label '{name}' in '{label}' of {path} holds '{SET_SEPARATOR}', which stands between the "
        "labels of a prediction set; give it another name in labels.rename"
        for name in counted.labels
        if SET_SEPARATOR in name
    ]


def label_warnings(dataset: Dataset, label: str, counted: Counted) -> list[str]:
    """What was done to labels as they stand in the file."""
    path = dataset.header.path
    found = []
    if counted.missing:
        said = ", ".join(f"'{spelling}' ({n} cells)" for spelling, n in counted.missing.most_common())
        found.append(f"{path}: in '{label}' these count as no label (labels.missing): {said}")
    if counted.renamed:
        said = ", ".join(
            f"{spelling!r} is '{name}' ({n} cells)" for spelling, (name, n) in counted.renamed.items()
        )
        found.append(
            f"{path}: in '{label}' labels are called otherwise (labels.rename, single blanks): {said}"
        )
    return found


def shape_problems(dataset: Dataset) -> list[str]:
    """Files without cells, genes or a matrix."""
    header = dataset.header
    problems = [
        f"{header.path}: holds no {what}; check how it was exported"
        for what, n in (("cells", header.n_cells), ("genes", header.n_genes))
        if n == 0
    ]
    if header.values != "counts" and not dataset.is_cytometry:
        problems.append(
            f"{header.path}: holds {header.values}, as {header.format} files do, and not counts; set "
            "modality: cytometry, or take the dataset out"
        )
    if header.counts is None:
        problems.append(f"{header.path}: holds no matrix in X, raw or layers; export it with its raw counts")
    return problems


def first_blocks(dataset: Dataset, problems: list[str]) -> dict[int, Block | None]:
    """The first cells by number of their file: of the first file, of cytometry of all files.

    None where they cannot be read, which is added to `problems`. There are none where they cannot be had
    without reading all of a file; but few channels are soon sorted.
    """
    header = dataset.header
    if header.counts is None or header.n_cells == 0 or header.n_genes == 0:
        return {}
    if not dataset.in_order and not dataset.is_cytometry:
        return {}
    most = max(LEAST_EVENTS, FIRST_EVENTS // len(dataset.headers))
    firsts: dict[int, Block | None] = {}
    for number, (start, end) in enumerate(pairwise(dataset.starts.tolist())):
        if number and not dataset.is_cytometry:
            break
        stop = min(end, start + most) if number else None
        try:
            if block := first_block(dataset, start, stop):
                firsts[number] = block
        except InputError as error:
            firsts[number] = None
            problems.append(str(error))
    return firsts


def first_block(dataset: Dataset, start: int, stop: int | None) -> Block | None:
    """The first block of a range of cells; None if there is none, or the file is not sorted after all."""
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(2):
            blocks = dataset.blocks([], FIRST_SLICE_BYTES, Path(scratch), start, stop)
            # Closed before the folder goes in which values may have been sorted.
            with suppress(OutOfOrderError), closing(blocks):
                return next((block for _, block in blocks), None)
            if not dataset.is_cytometry:
                break
    return None


def look_at_counts(
    dataset: Dataset, firsts: dict[int, Block | None], problems: list[str]
) -> tuple[float, Rounding | None, list[str]]:
    """Check the first cells' counts, see `first_blocks`; adds to `problems`.

    Returns
    -------
    Stored values per cell, by the header or as far as can be seen; what rounding changed in the first cells,
    None without; and doubts that are not certain.
    """
    header = dataset.header
    if header.counts is None or header.n_cells == 0 or header.n_genes == 0:
        return 0.0, None, []
    source = Source.of(header)
    in_header = None if header.nonzeros is None else header.nonzeros / header.n_cells
    smallest, rounding, seen = SmallestValues(), Rounding(), 0.0
    if 0 not in firsts:  # the first cells' counts stand at the end of a long sort
        seen = np.count_nonzero(header.glanced) / max(1, len(header.glanced)) * header.n_genes
    for number, file in enumerate(dataset.headers):
        if number not in firsts:
            problem = glance_problem(file.glanced, Source.of(file))
            problems += [problem] if problem else []
            continue
        block = firsts[number]
        try:
            if block is not None:
                check_counts(block.counts, block.names, header.var.index, Source.of(file))
                if source.is_rounded:
                    rounding.add(block.counts)
                block.counts.eliminate_zeros()
                smallest.add(block.counts)
                seen = seen or block.counts.nnz / len(block)
        except InputError as error:
            problems.append(str(error))
    doubt = smallest.doubt(source)
    doubts = [doubt] if doubt else []
    if source.is_rounded:
        if 0 not in firsts:
            rounding.largest = float(np.max(header.glanced, initial=0))
        print(rounding if rounding.cells else "counts are rounded to whole numbers as they are converted")
        doubts += rounding.doubts(dataset.key("counts_rounding"))
    return in_header or seen, rounding if source.is_rounded else None, doubts


def describe_channels(
    dataset: Dataset, firsts: dict[int, Block | None], problems: list[str], doubts: list[str]
) -> dict[str, Any]:
    """Of cytometry: the channels, and what values of the markers are like in the first events of each file.

    Adds to `problems` and `doubts`.
    """
    var = dataset.header.var
    markers = (var[KIND] == MARKER).to_numpy()
    values = {
        number: block.counts[:, markers].toarray() for number, block in firsts.items() if block is not None
    }
    problems += rising_markers(dataset, values)
    doubts += left_out_markers(dataset)
    looks = {}
    for number, own in values.items():
        file = dataset.headers[number]
        with np.errstate(invalid="ignore"):
            huge = var.index[markers][(np.abs(own) > HUGE).any(axis=0)].tolist()
        if huge:
            doubts.append(
                f"{file.path}: there are values beyond {HUGE:g} ({listed(huge)}); they are cut off where the "
                "reference's range ends"
            )
        looks[number] = look(
            own,
            var,
            technology=dataset.config["technology"],
            transformed=dataset.config["transformed"],
            machine=file.details.get("machine", ""),
        )
    problems += other_values(dataset, {n: one for n, one in looks.items() if len(values[n]) >= LEAST_EVENTS})
    seen = next(iter(looks.values()))
    dropped = [f"{name} ({kind})" for name, kind in zip(var.index, var[KIND], strict=True) if kind != MARKER]
    print(
        f"{markers.sum()} markers: {listed(var.index[markers])}; dropped: {', '.join(dropped) or 'nothing'}"
    )
    print(f"{seen.values} values of {seen.technology} cytometry: {seen.why}")
    channels = [[name, row[KIND], row[CHANNEL]] for name, row in var.iterrows()]
    return {"channels": channels, "intensities": seen._asdict()}


def rising_markers(dataset: Dataset, values: dict[int, np.ndarray]) -> list[str]:
    """What is wrong with channels of cytometry that count as markers and rise as a time does.

    Parameters
    ----------
    values
        Of the first events of files, by their numbers: events × markers.
    """
    table = read_markers(dataset.config["markers"])
    markers = dataset.header.var[dataset.header.var[KIND] == MARKER]
    problems: dict[str, str] = {}
    for number, found in values.items():
        if len(found) < LEAST_EVENTS:
            continue
        rising = (np.diff(found, axis=0) >= 0).all(axis=0) & (found[0] < found[-1])
        for name, row in markers[rising].iterrows():
            if table.find(name, row[CHANNEL], row.get(DETECTOR, row[CHANNEL]))[0]:
                continue
            problems.setdefault(
                name,
                f"{dataset.headers[number].path}: '{name}' rises from event to event, as a time or a number "
                "does, and counts as a marker; say in cytometry.markers that it is none "
                f"('{name}': null), or that it is one ('{name}': {name})",
            )
    return list(problems.values())


def left_out_markers(dataset: Dataset) -> list[str]:
    """A word about markers of cytometry that some of a dataset's files have, and not all."""
    used = set(map(marker_key, markers_of(dataset.header.var)))
    files: dict[str, list[str]] = {}
    for file in dataset.headers:
        for marker in markers_of(file.var):
            if marker_key(marker) not in used:
                files.setdefault(marker_key(marker), [marker]).append(file.path.name)
    if not files:
        return []
    n = len(dataset.headers)
    said = [
        f"{marker} (in {listed(names) if len(names) < 4 else f'{len(names)} of {n}'})"
        for marker, *names in files.values()
    ]
    return [
        f"{dataset.key('path')}: markers that not all of its {n} files have are left out: {listed(said)}; if "
        "some are called otherwise elsewhere, say so in cytometry.markers, or make datasets of the files"
    ]


def other_values(dataset: Dataset, looks: dict[int, Look]) -> list[str]:
    """What is wrong with files of cytometry, by their numbers, whose values are of different kinds."""
    files = dataset.headers
    first, seen = next(iter(looks.items()), (0, None))
    return [
        f"{files[number].path}: holds {own.values} values ({own.why}), and {files[first].path} {seen.values} "
        f"ones ({seen.why}); give all as they were measured, make datasets of their own of them, or say what "
        f"they are in {dataset.key('transformed')}"
        for number, own in looks.items()
        if own.values != seen.values
    ][:1]


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        inspect_dataset(
            snakemake.output[0],
            name=snakemake.wildcards.dataset,
            config=snakemake.params.dataset,
            label_names=LabelNames(**snakemake.params.labels),
            made_from=of_settings(snakemake.params.provenance["own"]),
        )
