"""The configuration as text, with comments that say why."""

import math
from collections.abc import Callable
from typing import Any

import yaml

from ...datasets.dataset import SAMPLE
from ...labels.columns import Choice, Column, could_be_batch, label_points, share_alike, share_known, singlets
from .column_choice import is_truth
from .discovery import Entry, kind_of_ids

CELLS_PER_CHUNK = 50_000
MAX_CHUNKS = 25
MANY_CELLS = 500_000
"""Reference cells that take a day to train on without a GPU."""

MAX_SHOWN = 6
"""Other columns that a comment names."""


def config_text(name: str, modality: str, entries: list[Entry]) -> str:
    """The configuration, with comments."""
    references = [entry for entry in entries if entry.role == "reference"]
    known = {value for entry in references if entry.label for value in entry.label.column.values}
    lines = [
        f"# {name}: written by `make new`, which looked at the files. What stands behind # has no effect.",
        "# Every other key and its default: config/README.md.",
    ]
    if modality == "cytometry":
        lines.append("modality: cytometry  # intensities of markers; rna would be counts of genes")
    lines.append("datasets:")
    for entry in entries:
        lines += dataset_lines(entry, known, modality)
    lines += ["", *_further(references, modality)]
    return "\n".join(lines) + "\n"


def dataset_lines(entry: Entry, known: set[str], modality: str) -> list[str]:
    """A dataset's lines."""
    header, n_files = entry.dataset.header, len(entry.dataset.headers)
    what = "markers and other channels" if modality == "cytometry" else "genes"
    files = f" in {n_files} files, each a sample" if n_files > 1 else ""
    lines = [
        f"  {entry.name}:",
        f"    # {header.format}: {header.n_cells:,} cells x {header.n_genes:,} {what}{files}",
        f"    role: {entry.role}",
        f"    path: {written(entry.path)}",
    ]
    if entry.obs:
        lines.append(f"    obs: {written(entry.obs['obs'])}  # lies beside it")
        if "obs_by" in entry.obs:
            lines.append("    obs_by: order  # its lines are in the cells' order")
    lines += _label_lines(entry, known) + _batch_lines(entry)
    if modality == "rna":
        lines += _count_lines(entry) + _gene_lines(entry)
    if doublets := singlets(entry.columns):
        ((column, values),) = doublets.items()
        lines.append(f"    # cells: {written({column: values})}  # would leave out doublets")
    n_chunks = chunks(entry.n_cells)
    if n_chunks != MAX_CHUNKS:
        lines.append(f"    chunks: {n_chunks}  # pieces to work on, each a job; 25 otherwise")
    return lines


def _label_lines(entry: Entry, known: set[str]) -> list[str]:
    if entry.label is None:
        if entry.role == "query":
            return ["    # label: none found; only needed to score the predictions"]
        return [
            f"    label: null  # FILL IN: the obs column with the labels to learn. {to_choose_from(entry)}"
        ]
    column = entry.label.column
    n = f"{len(column.values)} labels, " if column.values else ""
    missing = f", {column.missing:,} cells have none" if column.missing else ""
    line = f"label: {written(column.name)}  # {n}{entry.label.why}{missing}{_also(entry.label)}"
    if entry.role == "reference":
        return [f"    {line}", *_rare(column)]
    if is_truth(entry, known):
        return [f"    {line}", "    # of a query they are the truth to score by, and not needed"]
    alike = share_alike(column, known)
    hint = " (labels.rename brings spellings together)" if alike > share_known(column, known) else ""
    return [f"    # {line}", f"    # not used: few of these are the reference's labels{hint}"]


def _rare(column: Column) -> list[str]:
    rare = [value for value, n in column.values.items() if n < 10]
    if not rare:
        return []
    return [f"    # {len(rare)} of them have fewer than 10 cells and are not predicted: {_listed(rare)}"]


def _batch_lines(entry: Entry) -> list[str]:
    if entry.batch is None:
        there = _columns_there(entry, lambda column: could_be_batch(column) and not label_points(column))
        return [f"    # batch: none found, so all cells are one batch{there and '. Columns: ' + there}"]
    column = entry.batch.column
    n = f"{len(column.values)} values, " if column.values else ""
    why = "the files" if column.name == SAMPLE and len(entry.dataset.headers) > 1 else entry.batch.why
    return [f"    batch: {written(column.name)}  # {n}{why}{_also(entry.batch)}"]


def _count_lines(entry: Entry) -> list[str]:
    header = entry.dataset.header
    if header.counts is None or len(header.places) < 2:
        return []
    others = [
        f"{place} ({'counts' if header.places[place] else 'no counts'})"
        for place in header.places
        if place != header.counts
    ]
    return [f"    counts: {written(header.counts)}  # raw counts; there are also: {_listed(others)}"]


def _gene_lines(entry: Entry) -> list[str]:
    var = entry.dataset.header.var
    kinds = [f"names are {kind_of_ids(var.index.to_numpy(dtype=object))}"]
    kinds += [
        f"'{column}' holds {kind_of_ids(values)}"
        for column in var
        if (values := var[column].to_numpy(dtype=object)) is not None and kind_of_ids(values) == "Ensembl ids"
    ]
    return [f"    # gene_id: auto  # genes: {'; '.join(kinds)}"]


def _also(choice: Choice) -> str:
    others = [f"{column.name} ({len(column.values)})" for column in choice.others]
    return f"; also possible: {_listed(others)}" if others else ""


def _columns_there(entry: Entry, of: Callable[[Column], bool]) -> str:
    """Columns, with how many values they have."""
    return _listed([f"{column.name} ({len(column.values)} values)" for column in entry.columns if of(column)])


def to_choose_from(entry: Entry) -> str:
    """The columns of a reference of which none looks like labels; all where no one has few values."""
    there = entry.dataset.obs_columns
    if not there:
        return "It has no columns at all: name a table of cells and their labels in `obs`"
    return "Its columns: " + (_columns_there(entry, lambda column: True) or _listed(there))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more


def chunks(n_cells: int) -> int:
    """Pieces that a dataset is worked on in: 25 from a million cells on, more beyond five million."""
    if n_cells > 5_000_000:
        return min(10_000, math.ceil(n_cells / 200_000))
    return max(1, min(MAX_CHUNKS, math.ceil(n_cells / CELLS_PER_CHUNK)))


def _further(references: list[Entry], modality: str) -> list[str]:
    n_cells = sum(entry.n_cells for entry in references)
    further = {}
    if modality == "rna":
        further["genes: {n_variable: 4000, retrain_on_common: true}"] = "false: train once for all queries"
        further["model: {type: scvi}"] = "or scanvi, which learns from labels, too"
    else:
        further["genes: {retrain_on_common: false}"] = "train once for all queries"
        further["cytometry: {markers: {}, cofactor: auto}"] = "names; arcsinh(value / cofactor)"
    further["labels: {rename: {}, parents: {}}"] = "other spellings; coarser labels above these"
    if n_cells > MANY_CELLS:
        further[f"reference: {{subsample: {MANY_CELLS}}}"] = "train on fewer cells, drawn evenly"
    further["prediction: {max_error: 0.05}"] = "share of wrong labels that you allow"
    lines = [f"# {key:<50}  # {what}" for key, what in further.items()]
    return ["# What is often set besides:", *lines]


def written(value: Any) -> str:
    """A value as it stands in a line of YAML."""
    if isinstance(value, dict | list):
        text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    else:
        text = yaml.safe_dump(value, allow_unicode=True, width=10**6).removesuffix("...\n")
    return text.strip()
