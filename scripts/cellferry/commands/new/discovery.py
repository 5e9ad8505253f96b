"""Detected datasets: contents of their files, and annotation tables beside them."""

import glob
import re
import shlex
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ...config.samples import sample_files
from ...config.schema import load_schema
from ...datasets.dataset import Dataset
from ...datasets.inspection import gene_id_kind
from ...errors import InputError
from ...formats.hdf5 import refuse_what_crashes
from ...labels.columns import MAX_BATCHES, Choice, Column, choose_label, words_of
from ...labels.names import LabelNames, as_labels
from .modality import modality_of

RESERVED = {"reference", "validation", "test"}
ENDINGS = re.compile(
    r"([._]counts?)?(\.(csv|tsv|txt|gz|bz2|xz|zip|h5ad|h5mu|h5|zarr|loom|rds|rda|rdata|fcs|mtx|h5seurat|parquet))+$",
    re.I,
)
TABLE_WORDS = words_of("metadata meta obs annotation annotations annot labels label cells coldata pheno")
TABLE_ENDINGS = ("csv", "tsv", "txt", "gz")
DATA_WORDS = words_of("count counts matrix expr expression raw filtered umi dense")


@dataclass
class Entry:
    """A dataset of the new configuration.

    Attributes
    ----------
    name, role, path
        Name, role and path in the configuration.
    dataset
        Its header.
    columns
        Annotation columns with few enough values for labels or batches.
    obs
        Values of the keys `obs` and `obs_by`; empty if the file contains its annotation.
    label, batch
        The columns that were chosen or given by the user; None without one.
    notes
        Comments by key.
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
        """Number of cells in its files."""
        return self.dataset.header.n_cells


def datasets_of(given: str) -> list[str]:
    """Split REFERENCE or QUERY into paths and patterns, separated by blanks.

    A path with blanks is in quotes, or alone.
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
    """A valid and unique name for the dataset at a path."""
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
    """An absolute path, independent of snakemake's working folder."""
    return str(Path(path).expanduser().absolute())


def settings(path: str | list[str], role: str, modality: str, **more: Any) -> dict[str, Any]:
    """A dataset's section of the configuration, with defaults."""
    properties = load_schema()["$defs"]["dataset"]["properties"]
    defaults = {key: value["default"] for key, value in properties.items() if "default" in value}
    return {**defaults, "role": role, "path": path, "modality": modality, "markers": {}, **more}


def opened(name: str, path: str, role: str, modality: str, **more: Any) -> Dataset:
    """Open a dataset and read its header.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if not glob.has_magic(path) and not Path(path).exists():
        raise InputError(f"{role.upper()}: {path} does not exist; correct the path")
    files = sample_files(path)
    if not files:
        raise InputError(f"{role.upper()}: no file matches the pattern {path}; correct it")
    for file in files.values():
        refuse_what_crashes(file)
    try:
        return Dataset(name, settings(path, role, modality, **more))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); check the file") from error


def columns_of(dataset: Dataset) -> list[Column]:
    """Candidate columns for labels or batches, with cells per value."""
    dataset.load_tables(dataset.obs_columns)
    return columns_among(dataset.obs_columns, dataset.cells, default_names())


def default_names(unlabeled: Iterable[str] = ()) -> LabelNames:
    """Label names by the defaults of the section `labels`; `unlabeled` names also count as missing."""
    missing = load_schema()["properties"]["labels"]["properties"]["missing"]["default"]
    return LabelNames({}, [*missing, *unlabeled])


def columns_among(
    of_cells: list[str], cells: Callable[[list[str]], Generator[Any]], names: LabelNames
) -> list[Column]:
    """Candidate columns for labels or batches, with cells per value.

    The first cells show which columns are numbers or names of cells; only the others are read completely.

    Parameters
    ----------
    of_cells
        All columns.
    cells
        Function of columns that returns the cells in parts, each with `obs` as in `formats.interface.Cells`.
    names
        Names of labels.
    """
    parts = cells(of_cells)
    first = next(parts, None)
    parts.close()
    if first is None:
        return []
    counters = {name: Counter() for name in of_cells if _has_few_values(first.obs[name])}
    for some in cells(list(counters)):
        for name in list(counters):
            counters[name].update(pd.Series(as_labels(some.obs[name])).value_counts(dropna=False).to_dict())
            if len(counters[name]) > MAX_BATCHES:
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
    return pd.Series(values).nunique() <= max(50, min(MAX_BATCHES, len(values) // 3))


def table_beside(path: str) -> list[str]:
    """The annotation table of each file of a dataset, by name: `a.metadata.csv` for `a.counts.csv`.

    Empty if any file has no table, or several.
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


def kind_of_ids(ids: Any) -> str:
    """Kind of gene ids in words: Ensembl ids, symbols or numbers."""
    return {"ensembl": "Ensembl ids", "symbol": "symbols", "other": "numbers"}[gene_id_kind(ids)]


def preview(references: list[str], queries: list[str]) -> tuple[str, list[Entry], list[str]]:
    """Inspect the datasets: modality, one `Entry` each, and notes for the user.

    Raises
    ------
    InputError
        If one cannot be read, or only some are cytometry.
    """
    named: dict[str, tuple[str, str]] = {}
    for role, paths in (("reference", references), ("query", queries)):
        for path in map(absolute, paths):
            named[dataset_name(path, set(named), role)] = (path, role)
    first = {name: opened(name, path, role, "rna") for name, (path, role) in named.items()}
    modality, doubts = modality_of(first)
    entries = []
    for name, (path, role) in named.items():
        dataset = opened(name, path, role, modality, **_counts_elsewhere(first[name], modality))
        entries.append(_with_table(Entry(name, role, path, dataset, columns_of(dataset)), modality))
    return modality, entries, doubts


def _counts_elsewhere(dataset: Dataset, modality: str) -> dict[str, str]:
    """The key `counts`, if counts are only in a place that `auto` does not check."""
    places = dataset.header.places
    if modality == "cytometry" or places.get(dataset.header.counts, True):
        return {}
    return next(({"counts": place} for place, has_counts in places.items() if has_counts), {})


def _with_table(entry: Entry, modality: str) -> Entry:
    """Add the annotation table beside the file if the file has no labels."""
    if choose_label(entry.columns):
        return entry
    tables = table_beside(entry.path)
    for by in ("name", "order") if tables else ():
        obs = {"obs": tables if len(tables) > 1 else tables[0], "obs_by": by}
        counts = entry.dataset.config["counts"]
        try:
            dataset = opened(entry.name, entry.path, entry.role, modality, counts=counts, **obs)
            columns = columns_of(dataset)
        except InputError:
            continue
        if choose_label(columns) or len(columns) > len(entry.columns):
            kept = obs if by == "order" else {"obs": obs["obs"]}
            return Entry(entry.name, entry.role, entry.path, dataset, columns, kept)
    return entry
