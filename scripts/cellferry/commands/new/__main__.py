"""Look at files and write a configuration for them: `make new NAME=kidney REFERENCE=a.h5ad QUERY=b.h5ad`.

What can be found out is filled in, with a comment that says why; nothing is asked or overwritten.
"""

import argparse
import glob
import io
import json
import math
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from check_datasets import check_datasets
from inspect_dataset import gene_id_kind, inspect_dataset

from ...config.checks import check
from ...config.samples import sample_files
from ...config.schema import fill_defaults, load_schema
from ...core.atomic import complete
from ...datasets.dataset import SAMPLE, Dataset
from ...errors import InputError
from ...labels.columns import (
    MOST_BATCHES,
    Choice,
    Column,
    choose_batch,
    choose_label,
    could_be_batch,
    label_points,
    share_alike,
    share_known,
    singlets,
    words_of,
)
from ...labels.names import LabelNames, as_labels

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED = {"reference", "validation", "test"}
MOST_MARKERS = 500
"""Columns of a table of intensities at most: no panel has more markers, and no file of genes so few."""

CELLS_PER_CHUNK = 50_000
MOST_CHUNKS = 25
MANY_CELLS = 500_000
"""Reference cells that take a day to train on without a GPU."""

MOST_SHOWN = 6
"""Other columns that a comment names."""

ENDINGS = re.compile(
    r"([._]counts?)?(\.(csv|tsv|txt|gz|bz2|xz|zip|h5ad|h5mu|h5|zarr|loom|rds|rda|rdata|fcs|mtx|h5seurat|parquet))+$",
    re.I,
)
TABLE_WORDS = words_of("metadata meta obs annotation annotations annot labels label cells coldata pheno")
TABLE_ENDINGS = ("csv", "tsv", "txt", "gz")
DATA_WORDS = words_of("count counts matrix expr expression raw filtered umi dense")


@dataclass
class Found:
    """A dataset as it was found.

    Attributes
    ----------
    name, role, path
        For the configuration.
    dataset
        Its header.
    columns
        Its annotation columns that have few enough values.
    obs
        What the keys `obs` and `obs_by` are: nothing where the file holds its annotation.
    label, batch
        The columns chosen, or named by the user; None if there is none.
    notes
        What was found, for the comments.
    """

    name: str
    role: str
    path: str | list[str]
    dataset: Dataset
    columns: list[Column]
    obs: dict[str, Any] = field(default_factory=dict)
    label: Choice | None = None
    batch: Choice | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def n_cells(self) -> int:
        """Cells in its files."""
        return self.dataset.header.n_cells


# ---- What is there ------------------------------------------------------------------------------------


def datasets_of(given: str) -> list[str]:
    """The datasets that REFERENCE or QUERY names: paths and patterns with blanks between them.

    A path with blanks in it stands in quotes, or alone.
    """
    if not given.strip():
        return []
    if Path(given.strip()).expanduser().exists():
        return [given.strip()]
    try:
        return shlex.split(given)
    except ValueError:
        raise InputError(f"{given}: a quote is not closed; write paths with blanks in quotes") from None


def dataset_name(path: str, taken: set[str], role: str) -> str:
    """A name for the dataset at a path, as the configuration takes it, that no other one has."""
    stem = Path(path).name if not glob.has_magic(path) else re.sub(r"[*?\[\]]+", "", Path(path).name)
    stem = ENDINGS.sub("", stem)
    if stem.lower() in ("filtered_feature_bc_matrix", "raw_feature_bc_matrix", "matrix", "outs", ""):
        stem = Path(path).resolve().parent.name
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or role
    if name in RESERVED:
        name = f"{name}_data"
    if name in taken:
        name = f"{name}_{role}"
    number = 2
    while name in taken:
        name, number = f"{re.sub(r'_[0-9]+$', '', name)}_{number}", number + 1
    return name


def absolute(path: str) -> str:
    """A path that means the same in whichever folder snakemake runs."""
    return str(Path(path).expanduser().absolute())


def settings(path: str | list[str], role: str, modality: str, **more: Any) -> dict[str, Any]:
    """A dataset's part of the configuration, with defaults."""
    properties = load_schema()["$defs"]["dataset"]["properties"]
    defaults = {key: value["default"] for key, value in properties.items() if "default" in value}
    return {**defaults, "role": role, "path": path, "modality": modality, "markers": {}, **more}


def opened(name: str, path: str, role: str, modality: str, **more: Any) -> Dataset:
    """A dataset, its header read.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if not glob.has_magic(path) and not Path(path).exists():
        raise InputError(f"{role.upper()}: there is no file or folder {path}; correct the path")
    if not sample_files(path):
        raise InputError(f"{role.upper()}: there is nothing that fits the pattern {path}; correct it")
    try:
        return Dataset(name, settings(path, role, modality, **more))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); check the file") from error


def is_cytometry(dataset: Dataset) -> bool:
    """Whether a file holds intensities: FCS files do, and those of few columns that hold no counts."""
    header = dataset.header
    few = header.n_genes <= MOST_MARKERS and not any(header.places.values())
    return header.values == "intensities" or (few and gene_id_kind(header.var.index.to_numpy()) != "ensembl")


def columns_of(dataset: Dataset) -> list[Column]:
    """Annotation columns that may be labels or batches, with their values' cells.

    The first cells show which columns are numbers, or names of cells; only the others are read to the end.
    """
    names = LabelNames({}, load_schema()["properties"]["labels"]["properties"]["missing"]["default"])
    dataset.load_tables(dataset.obs_columns)
    cells = dataset.cells(dataset.obs_columns)
    first = next(cells, None)
    cells.close()
    if first is None:
        return []
    counters = {name: Counter() for name in dataset.obs_columns if _has_few_values(first.obs[name])}
    for some in dataset.cells(list(counters)):
        for name in list(counters):
            counters[name].update(pd.Series(as_labels(some.obs[name])).value_counts(dropna=False).to_dict())
            if len(counters[name]) > MOST_BATCHES:
                del counters[name]
    columns = []
    for name, counter in counters.items():
        values: Counter = Counter()
        for spelling, n in counter.items():
            label = None if pd.isna(spelling) else names.name(str(spelling))
            if label is not None:
                values[label] += int(n)
        columns.append(Column(name, values, int(counter.total()) - values.total()))
    return columns


def _has_few_values(values: Any) -> bool:
    if values.dtype.kind == "f":
        whole = values[~pd.isna(values)]
        if (whole % 1 != 0).any():
            return False
    return pd.Series(values).nunique() <= max(50, min(MOST_BATCHES, len(values) // 3))


def table_beside(path: str) -> list[str]:
    """An annotation table for each file of a dataset, by its name: `a.metadata.csv` for `a.counts.csv`.

    Nothing if any file has none, or several.
    """
    tables = []
    for file in sample_files(path).values():
        stem = re.split(r"[.]", file.name)[0] if file.is_file() else file.name
        tokens = [token for token in re.split(r"[_.-]", stem) if token.lower() not in DATA_WORDS]
        stem = stem if len(tokens) == len(re.split(r"[_.-]", stem)) else "_".join(tokens)
        near = [other for other in file.parent.iterdir() if other != file and _is_table_of(stem, other.name)]
        if file.is_dir():
            near += [other for other in file.iterdir() if _is_table_of("", other.name)]
        if len(near) != 1:
            return []
        tables.append(str(near[0]))
    return tables


def _is_table_of(stem: str, name: str) -> bool:
    if not name.startswith(stem) or not name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt")):
        return False
    rest = [token for token in re.split(r"[_.-]", name[len(stem) :].lower()) if token]
    if stem and name[len(stem) : len(stem) + 1] not in "._-":
        return False
    return bool(TABLE_WORDS.intersection(rest)) and set(rest) <= TABLE_WORDS | {*TABLE_ENDINGS, "cell"}


# ---- What it means ------------------------------------------------------------------------------------


def look(references: list[str], queries: list[str]) -> tuple[str, list[Found]]:
    """What the datasets hold: the modality, and one `Found` for each.

    Raises
    ------
    InputError
        If one cannot be read, or some are of cytometry and some are not.
    """
    named: dict[str, tuple[str, str]] = {}
    for role, paths in (("reference", references), ("query", queries)):
        for path in map(absolute, paths):
            named[dataset_name(path, set(named), role)] = (path, role)
    first = {name: opened(name, path, role, "rna") for name, (path, role) in named.items()}
    intensities = [name for name, dataset in first.items() if is_cytometry(dataset)]
    if intensities and len(intensities) < len(first):
        other = next(name for name in first if name not in intensities)
        raise InputError(
            f"{named[intensities[0]][0]} holds intensities of markers, and {named[other][0]} counts of "
            "genes; give files of one kind"
        )
    modality = "cytometry" if intensities else "rna"
    found = []
    for name, (path, role) in named.items():
        dataset = opened(name, path, role, modality, **_counts_elsewhere(first[name], modality))
        found.append(_with_table(Found(name, role, path, dataset, columns_of(dataset)), modality))
    return modality, found


def _counts_elsewhere(dataset: Dataset, modality: str) -> dict[str, str]:
    """The key `counts`, where only a place that `auto` does not know holds counts."""
    places = dataset.header.places
    if modality == "cytometry" or places.get(dataset.header.counts, True):
        return {}
    return next(({"counts": place} for place, has_counts in places.items() if has_counts), {})


def _with_table(found: Found, modality: str) -> Found:
    """The same with the annotation table that lies beside its file, where the file itself has no labels."""
    if choose_label(found.columns):
        return found
    tables = table_beside(found.path)
    for by in ("name", "order") if tables else ():
        obs = {"obs": tables if len(tables) > 1 else tables[0], "obs_by": by}
        counts = found.dataset.config["counts"]
        try:
            dataset = opened(found.name, found.path, found.role, modality, counts=counts, **obs)
            columns = columns_of(dataset)
        except InputError:
            continue
        if choose_label(columns) or len(columns) > len(found.columns):
            kept = obs if by == "order" else {"obs": obs["obs"]}
            return Found(found.name, found.role, found.path, dataset, columns, kept)
    return found


def choose(found: list[Found], label: str, batch: str) -> None:
    """Choose the columns of all datasets; those that the user names are taken where they are.

    Raises
    ------
    InputError
        If a reference lacks the column that the user names.
    """
    references = [one for one in found if one.role == "reference"]
    queries = [one for one in found if one.role == "query"]
    for one in references:
        if label and label not in one.dataset.obs_columns:
            raise InputError(f"LABEL={label}: {_lacks(one, label)}")
    if batch and not any(batch in one.dataset.obs_columns for one in found):
        raise InputError(f"BATCH={batch}: {_lacks(found[0], batch)}")
    of_queries = {
        value
        for one in queries
        for column in one.columns
        if label_points(column) >= 50
        for value in column.values
    }
    for one in references:
        one.label = _named(one, label) or choose_label(one.columns, of_queries)
    known = {value for one in references if one.label for value in one.label.column.values}
    like = next((one.label.column.name for one in references if one.label), None)
    for one in queries:
        one.label = _named(one, label) or choose_label(one.columns, known, like)
    for one in found:
        chosen = one.label.column.name if one.label else None
        one.batch = _named(one, batch) or choose_batch(one.columns, chosen)


def _lacks(one: Found, column: str) -> str:
    there = ", ".join(one.dataset.obs_columns) or "none"
    return f"{one.path} has no obs column '{column}'; it has: {there}"


def _named(one: Found, name: str) -> Choice | None:
    if not name or name not in one.dataset.obs_columns:
        return None
    column = next((column for column in one.columns if column.name == name), Column(name, Counter(), 0))
    return Choice(column, "as you said", [])


def is_truth(one: Found, known: set[str]) -> bool:
    """Whether a query's labels can be compared with what the reference's say: half of its cells at least."""
    return one.label is not None and (
        one.label.why == "as you said" or share_known(one.label.column, known) >= 0.5
    )


# ---- What is written ----------------------------------------------------------------------------------


def config_text(name: str, modality: str, found: list[Found]) -> str:
    """The configuration, with comments."""
    references = [one for one in found if one.role == "reference"]
    known = {value for one in references if one.label for value in one.label.column.values}
    lines = [
        f"# {name}: written by `make new`, which looked at the files. What stands behind # has no effect.",
        "# Every other key and its default: config/README.md.",
    ]
    if modality == "cytometry":
        lines.append("modality: cytometry  # intensities of markers; rna would be counts of genes")
    lines.append("datasets:")
    for one in found:
        lines += dataset_lines(one, known, modality)
    lines += ["", *_further(references, modality)]
    return "\n".join(lines) + "\n"


def dataset_lines(one: Found, known: set[str], modality: str) -> list[str]:
    """A dataset's lines."""
    header, n_files = one.dataset.header, len(one.dataset.headers)
    what = "markers and other channels" if modality == "cytometry" else "genes"
    files = f" in {n_files} files, each a sample" if n_files > 1 else ""
    lines = [
        f"  {one.name}:",
        f"    # {header.format}: {header.n_cells:,} cells x {header.n_genes:,} {what}{files}",
        f"    role: {one.role}",
        f"    path: {written(one.path)}",
    ]
    if one.obs:
        lines.append(f"    obs: {written(one.obs['obs'])}  # lies beside it")
        if "obs_by" in one.obs:
            lines.append("    obs_by: order  # its lines are in the cells' order")
    lines += _label_lines(one, known) + _batch_lines(one)
    if modality == "rna":
        lines += _count_lines(one) + _gene_lines(one)
    if doublets := singlets(one.columns):
        ((column, values),) = doublets.items()
        lines.append(f"    # cells: {written({column: values})}  # would leave out doublets")
    n_chunks = chunks(one.n_cells)
    if n_chunks != MOST_CHUNKS:
        lines.append(f"    chunks: {n_chunks}  # pieces to work on, each a job; 25 otherwise")
    return lines


def _label_lines(one: Found, known: set[str]) -> list[str]:
    if one.label is None:
        if one.role == "query":
            return ["    # label: none found; only needed to score the predictions"]
        return [
            f"    label: null  # FILL IN: the obs column with the labels to learn. {_to_choose_from(one)}"
        ]
    column = one.label.column
    n = f"{len(column.values)} labels, " if column.values else ""
    missing = f", {column.missing:,} cells have none" if column.missing else ""
    said = f"label: {written(column.name)}  # {n}{one.label.why}{missing}{_also(one.label)}"
    if one.role == "reference":
        return [f"    {said}", *_rare(column)]
    if is_truth(one, known):
        return [f"    {said}", "    # of a query they are the truth to score by, and not needed"]
    alike = share_alike(column, known)
    hint = " (labels.rename brings spellings together)" if alike > share_known(column, known) else ""
    return [f"    # {said}", f"    # not used: few of these are the reference's labels{hint}"]


def _rare(column: Column) -> list[str]:
    rare = [value for value, n in column.values.items() if n < 10]
    if not rare:
        return []
    return [f"    # {len(rare)} of them have fewer than 10 cells and are not predicted: {_listed(rare)}"]


def _batch_lines(one: Found) -> list[str]:
    if one.batch is None:
        there = _columns_there(one, lambda column: could_be_batch(column) and not label_points(column))
        return [f"    # batch: none found, so all cells are one batch{there and '. Columns: ' + there}"]
    column = one.batch.column
    n = f"{len(column.values)} values, " if column.values else ""
    why = "the files" if column.name == SAMPLE and len(one.dataset.headers) > 1 else one.batch.why
    return [f"    batch: {written(column.name)}  # {n}{why}{_also(one.batch)}"]


def _count_lines(one: Found) -> list[str]:
    header = one.dataset.header
    if header.counts is None or len(header.places) < 2:
        return []
    others = [
        f"{place} ({'counts' if header.places[place] else 'no counts'})"
        for place in header.places
        if place != header.counts
    ]
    return [f"    counts: {written(header.counts)}  # raw counts; there are also: {_listed(others)}"]


def _gene_lines(one: Found) -> list[str]:
    var = one.dataset.header.var
    kinds = [f"names are {_kind(var.index.to_numpy(dtype=object))}"]
    kinds += [
        f"'{column}' holds {_kind(values)}"
        for column in var
        if (values := var[column].to_numpy(dtype=object)) is not None and _kind(values) == "Ensembl ids"
    ]
    return [f"    # gene_id: auto  # genes: {'; '.join(kinds)}"]


def _kind(ids: Any) -> str:
    return {"ensembl": "Ensembl ids", "symbol": "symbols", "other": "numbers"}[gene_id_kind(ids)]


def _also(choice: Choice) -> str:
    others = [f"{column.name} ({len(column.values)})" for column in choice.others]
    return f"; also possible: {_listed(others)}" if others else ""


def _columns_there(one: Found, of: Callable[[Column], bool]) -> str:
    """Columns, with how many values they have."""
    return _listed([f"{column.name} ({len(column.values)} values)" for column in one.columns if of(column)])


def _to_choose_from(one: Found) -> str:
    """The columns of a reference of which none looks like labels; all where no one has few values."""
    there = one.dataset.obs_columns
    if not there:
        return "It has no columns at all: name a table of cells and their labels in `obs`"
    return "Its columns: " + (_columns_there(one, lambda column: True) or _listed(there))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more


def chunks(n_cells: int) -> int:
    """Pieces that a dataset is worked on in: 25 from a million cells on, more beyond five million."""
    if n_cells > 5_000_000:
        return min(10_000, math.ceil(n_cells / 200_000))
    return max(1, min(MOST_CHUNKS, math.ceil(n_cells / CELLS_PER_CHUNK)))


def _further(references: list[Found], modality: str) -> list[str]:
    n_cells = sum(one.n_cells for one in references)
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


# ---- Whether it will do -------------------------------------------------------------------------------


def problems_of(text: str) -> tuple[list[str], list[str]]:
    """What the workflow will say of a configuration before its first long job: problems, and warnings."""
    config = yaml.safe_load(text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text, encoding="utf-8")
        try:
            check(config, config_files=[str(path)])
        except InputError as error:
            return _split(error), []
        fill_defaults(config)
        names = LabelNames({}, config["labels"]["missing"])
        inspected = []
        said = io.StringIO()
        cytometry = config["modality"] == "cytometry"
        try:
            with redirect_stdout(said):
                for name, own in config["datasets"].items():
                    inspected.append(str(Path(folder, f"{name}.json")))
                    whole = {**own, "modality": config["modality"], "markers": {}}
                    inspect_dataset(inspected[-1], name=name, config=whole, label_names=names)
                check_datasets(
                    inspected,
                    str(Path(folder, "datasets.tsv")),
                    parents={},
                    gene_sources=list(config["datasets"]) if cytometry else None,
                    min_common=config["genes"]["min_common"],
                )
        except InputError as error:
            return _split(error), []
        found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in inspected]
    return [], [warning for one in found for warning in one["warnings"]]


def gene_doubts(found: list[Found]) -> list[str]:
    """A word where genes have Ensembl ids here and symbols there, and no dataset holds both."""
    kinds = {}
    for one in found:
        var = one.dataset.header.var
        ids = [var.index.to_numpy(dtype=object), *(var[column].to_numpy(dtype=object) for column in var)]
        kinds[one.name] = {kind for kind in map(_kind, ids) if kind != "numbers"}
    if set.intersection(*kinds.values()):
        return []
    listed = ", ".join(f"{name} has {' and '.join(sorted(some))}" for name, some in kinds.items())
    return [f"genes are called differently ({listed}); name a table of both in genes.map"]


def _split(error: InputError) -> list[str]:
    """The single sentences of a message that lists several."""
    lines = [line.removeprefix("  - ") for line in str(error).splitlines() if line.startswith("  - ")]
    return lines or [str(error)]


def new(
    name: str, references: str, queries: str, *, label: str, batch: str, folder: Path, force: bool
) -> bool:
    """Write `folder/NAME.yaml`, and say what was found and what comes next.

    Returns
    -------
    Whether it can be run as it is.

    Raises
    ------
    InputError
        If nothing can be written.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"NAME={name}: names are letters, digits, '-', '_' and '.'; give one, such as NAME=kidney"
        )
    path = folder / f"{name}.yaml"
    if path.exists() and not force:
        raise InputError(f"{path} is there already; choose another NAME, or add FORCE=1 to write it anew")
    by_role = {"REFERENCE": datasets_of(references), "QUERY": datasets_of(queries)}
    for key, paths in by_role.items():
        if not paths:
            raise InputError(f"{key}= is missing; name a file or folder, such as {key}=/data/atlas.h5ad")
    modality, found = look(*by_role.values())
    choose(found, label, batch)
    text = config_text(name, modality, found)
    problems, warnings = problems_of(text)
    warnings += gene_doubts(found) if modality == "rna" else []
    with complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(summary(path, found, problems, warnings))
    return not problems


def summary(path: Path, found: list[Found], problems: list[str], warnings: list[str]) -> str:
    """What is printed: what was found, what is wrong with it, and what to type next."""
    lines = []
    for one in found:
        header = one.dataset.header
        lines.append(f"{one.role} {one.name}: {header.format}, {header.n_cells:,} cells x {header.n_genes:,}")
        lines += [f"  label  {_said(one.label)}", f"  batch  {_said(one.batch)}"]
    lines += [f"look at: {warning}" for warning in warnings]
    unlabelled = [one for one in found if one.role == "reference" and one.label is None]
    if unlabelled:
        problems = [
            f"{one.path} has no column that looks like labels; write one into the line `label:` of "
            f"{one.name}, or give LABEL=COLUMN. {_to_choose_from(one)}"
            for one in unlabelled
        ]
    if problems:
        lines += [f"Wrote {path}, which cannot be run yet:", *(f"  - {problem}" for problem in problems)]
        lines.append(f"When that is done:  make plan CONFIG={path}")
        return "\n".join(lines)
    run = f"snakemake --profile profiles/slurm --configfile {path}"
    return "\n".join(
        [
            *lines,
            f"Wrote {path}. Read it, then:",
            f"  make plan CONFIG={path}",
            "      jobs, memory, disk and time of every rule",
            f"  .venv/bin/{run} --dry-run",
            "      what would run",
            f"  .venv/bin/{run}",
            "      the run, on SLURM; on this machine with --profile profiles/local",
        ]
    )


def _said(choice: Choice | None) -> str:
    if choice is None:
        return "none found"
    column = choice.column
    return f"{column.name} ({len(column.values)} values, {choice.why})"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make new", description=__doc__)
    for key in ("name", "reference", "query", "label", "batch"):
        parser.add_argument(f"--{key}", default="")
    parser.add_argument("--folder", type=Path, default=Path("config"))
    parser.add_argument("--force", default="", nargs="?", const="1")
    given = parser.parse_args(arguments)
    try:
        ready = new(
            given.name,
            given.reference,
            given.query,
            label=given.label,
            batch=given.batch,
            folder=given.folder,
            force=given.force not in ("", "0"),
        )
    except InputError as error:
        print(f"make new: {error}", file=sys.stderr)
        return 1
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
