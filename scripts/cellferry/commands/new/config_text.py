"""The configuration as text, with comments that give reasons.

Columns, layers and paths can have any name: text from a file must not become a key of the configuration.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ...config.named_reference import is_name, located
from ...config.schema import load_schema
from ...core.text import first_few, printable
from ...core.yaml_text import restore_text
from ...datasets.dataset import SAMPLE
from ...errors import InputError
from ...features.gene_ids import id_columns
from ...features.organisms import orthologs_between, written_as
from ...formats.features import CONTROLS
from ...labels.columns import Choice, Column, could_be_batch, label_points, share_alike, share_known, singlets
from ...references.archive import GENES, Manifest, is_packed, read_member, verify
from .column_choice import is_truth
from .discovery import Entry, absolute, kind_of_ids

CELLS_PER_CHUNK = 50_000
MAX_CHUNKS = 25
MANY_CELLS = 500_000
"""Reference cells with a training time of a day without a GPU."""

MAX_SHOWN = 6
"""Maximum number of other columns in a comment."""

_listed = partial(first_few, most=MAX_SHOWN)


class Line(NamedTuple):
    """A key of a dataset with its value, and a comment; or a comment alone."""

    key: str = ""
    value: Any = None
    comment: str = ""

    def __str__(self) -> str:
        """The line in the file, indented below a dataset."""
        comment = f"# {printable(self.comment)}" if self.comment else ""
        return f"    {'  '.join(filter(None, [self.key and f'{self.key}: {written(self.value)}', comment]))}"


class PackedReference(NamedTuple):
    """A packed reference in place of a reference's files.

    Attributes
    ----------
    given
        The archive's path, or its name and version in a registry.
    about
        Its description (manifest).
    as_it_is
        True if its model is not fitted to the queries.
    genes
        Its genes; empty for cytometry.
    """

    given: str
    about: Manifest
    as_it_is: bool
    genes: list[str]

    @classmethod
    def of(cls, given: str, *, as_it_is: bool) -> "PackedReference | None":
        """The packed reference given in place of files; None for files."""
        given = given.strip()
        if not is_name(given) and not is_packed(given):
            return None
        path = str(located(given)) if is_name(given) else given
        about = verify(path)
        genes = []
        if about.modality == "rna":
            lines = read_member(path, GENES).decode().splitlines()
            genes = [line.split("\t")[0] for line in lines[1:]]
        return cls(given if is_name(given) else absolute(given), about, as_it_is, genes)

    @property
    def lines(self) -> list[Line]:
        """Its keys, with comments."""
        about = self.about
        what = f"{about.full_name}: {len(about.labels)} labels, {about.n_genes:,} genes, {about.license}"
        lines = [Line("pretrained", self.given, what)]
        if self.as_it_is:
            lines.append(Line("surgery", {"fit": False}, "maps with the model as it is, without torch"))
        return lines


def config_text(
    name: str, modality: str, entries: list[Entry], packed: PackedReference | None = None
) -> tuple[str, dict[str, Any]]:
    """The configuration with comments, and its expected values."""
    references = [entry for entry in entries if entry.role == "reference"]
    known = {value for entry in references if entry.label for value in entry.label.column.values}
    known |= set(packed.about.labels) if packed else set()
    meant: dict[str, Any] = {"modality": modality} if modality == "cytometry" else {}
    meant["datasets"] = {}
    lines = [
        f"# {name}: written by `make new`, from the files. Text after # has no effect.",
        "# All other keys and their defaults: config/README.md.",
    ]
    if modality == "cytometry":
        lines.append("modality: cytometry  # intensities of markers; rna: counts of genes")
    for line in [*(packed.lines if packed else []), *species_lines(entries, packed)]:
        lines.append(str(line).strip())
        meant[line.key] = line.value
    lines.append("datasets:")
    for entry in entries:
        below = dataset_lines(entry, known, modality)
        lines += [f"  {written(entry.name)}:", *map(str, below)]
        meant["datasets"][entry.name] = {line.key: line.value for line in below if line.key}
    lines += ["", *_further(references, modality)]
    return "\n".join(lines) + "\n", meant


def species_lines(entries: list[Entry], packed: PackedReference | None) -> list[Line]:
    """The key `genes.orthologs`, if a query is of another species with an included table."""
    references = [ids_of(entry) for entry in entries if entry.role == "reference"]
    own = [packed.genes] if packed else references[0] if references else []
    for entry in entries:
        if table := orthologs_between(ids_of(entry), own):
            why = f"{entry.name} has {written_as(ids_of(entry))}, the reference {written_as(own)}"
            return [Line("genes", {"orthologs": table}, why)]
    return []


def ids_of(entry: Entry) -> list[list[str]]:
    """Names of a dataset's genes, and other columns with ids or symbols."""
    return [list(ids) for ids in id_columns(entry.dataset.header.var).values()]


def check_as_meant(path: Path, meant: dict[str, Any]) -> None:
    """Read a written configuration and compare it with the expected values.

    Raises
    ------
    InputError
        If they differ.
    """
    wrong = "other values"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        restore_text(config, [str(path)], load_schema())
    except (yaml.YAMLError, ValueError, AttributeError, KeyError) as error:
        config, wrong = None, f"invalid YAML ({printable(str(error))})"
    if config == meant:
        return
    found = config.get("datasets") if isinstance(config, dict) else None
    for name, keys in meant["datasets"].items():
        there = found.get(name) if isinstance(found, dict) else None
        for key, value in keys.items():
            if isinstance(there, dict) and there.get(key) != value:
                wrong = (
                    f"{printable(repr(there.get(key)))} instead of {printable(repr(value))} as {name}.{key}"
                )
    raise InputError(
        f"the configuration would contain {wrong} and was not kept; rename the file, column or layer with "
        "the unusual name, or write the configuration by hand"
    )


def dataset_lines(entry: Entry, known: set[str], modality: str) -> list[Line]:
    """A dataset's keys, with comments."""
    header, n_files = entry.dataset.header, len(entry.dataset.headers)
    what = "markers and other channels" if modality == "cytometry" else "genes"
    files = f" in {n_files} files, each a sample" if n_files > 1 else ""
    lines = [
        Line(comment=f"{header.format}: {header.n_cells:,} cells x {header.n_genes:,} {what}{files}"),
        Line("role", entry.role),
        Line("path", entry.path),
    ]
    if entry.obs:
        lines.append(Line("obs", entry.obs["obs"], "a table beside the file"))
        if "obs_by" in entry.obs:
            lines.append(Line("obs_by", "order", "its lines are in the order of the cells"))
    lines += _label_lines(entry, known) + _batch_lines(entry)
    if modality == "rna":
        lines += _count_lines(entry) + _gene_lines(entry)
    lines += _coordinate_lines(entry)
    if doublets := singlets(entry.columns):
        ((column, values),) = doublets.items()
        lines.append(Line(comment=f"cells: {written({column: values})}  # to leave out doublets"))
    n_chunks = chunks(entry.n_cells)
    if n_chunks != MAX_CHUNKS:
        lines.append(Line("chunks", n_chunks, "number of chunks, one job each; default 25"))
    return lines


def _label_lines(entry: Entry, known: set[str]) -> list[Line]:
    if entry.label is None:
        if entry.role == "query":
            return [Line(comment="label: none found; needed only to score the predictions")]
        fill_in = f"FILL IN: the obs column with the labels. {to_choose_from(entry)}"
        return [Line("label", None, fill_in)]
    column = entry.label.column
    n = f"{len(column.values)} labels, " if column.values else ""
    missing = f", {column.missing:,} cells without a label" if column.missing else ""
    line = Line("label", column.name, f"{n}{entry.label.why}{missing}{_also(entry.label)}")
    if entry.role == "reference":
        return [line, *_rare(column)]
    if is_truth(entry, known):
        return [line, Line(comment="true labels, optional: predictions are scored with them")]
    alike = share_alike(column, known)
    hint = " (labels.rename unifies spellings)" if alike > share_known(column, known) else ""
    return [
        Line(comment=str(line).strip()),
        Line(comment=f"not used: few of these labels are in the reference{hint}"),
    ]


def _rare(column: Column) -> list[Line]:
    rare = [value for value, n in column.values.items() if n < 10]
    if not rare:
        return []
    them = f"{len(rare)} of them have fewer than 10 cells and are not predicted: {_listed(rare)}"
    return [Line(comment=them)]


def _batch_lines(entry: Entry) -> list[Line]:
    if entry.batch is None:
        there = _columns_there(entry, lambda column: could_be_batch(column) and not label_points(column))
        none = f"batch: none found, so all cells are one batch{there and '. Columns: ' + there}"
        return [Line(comment=none)]
    column = entry.batch.column
    n = f"{len(column.values)} values, " if column.values else ""
    why = "the files" if column.name == SAMPLE and len(entry.dataset.headers) > 1 else entry.batch.why
    return [Line("batch", column.name, f"{n}{why}{_also(entry.batch)}")]


def _count_lines(entry: Entry) -> list[Line]:
    header = entry.dataset.header
    if header.counts is None or len(header.places) < 2:
        return []
    others = [
        f"{place} ({'counts' if header.places[place] else 'not counts'})"
        for place in header.places
        if place != header.counts
    ]
    return [Line("counts", header.counts, f"raw counts; other matrices: {_listed(others)}")]


def _gene_lines(entry: Entry) -> list[Line]:
    var = entry.dataset.header.var
    kinds = [f"names are {kind_of_ids(var.index.to_numpy(dtype=object))}"]
    kinds += [
        f"'{column}' contains {kind_of_ids(values)}"
        for column in var
        if (values := var[column].to_numpy(dtype=object)) is not None and kind_of_ids(values) == "Ensembl ids"
    ]
    return [Line(comment=f"gene_id: auto  # genes: {'; '.join(kinds)}")]


def _coordinate_lines(entry: Entry) -> list[Line]:
    """Comments on detected coordinates and omitted control features."""
    controls = entry.dataset.headers[0].details.get(CONTROLS)
    n_controls = len(controls.positions) if controls else 0
    lines = [Line(comment=f"{n_controls} control features of the panel are left out")] if controls else []
    coordinates = entry.dataset.coordinates
    if coordinates.source:
        others = "".join(f"; also: {other.name}" for other in coordinates.others)
        lines.append(Line(comment=f"coordinates: auto  # {coordinates.source.name}{others}"))
    if coordinates.missing:
        lines.append(Line(comment=f"coordinates: none found, {coordinates.missing[0]} is missing"))
    return lines


def _also(choice: Choice) -> str:
    others = [f"{column.name} ({len(column.values)})" for column in choice.others]
    return f"; also possible: {_listed(others)}" if others else ""


def _columns_there(entry: Entry, of: Callable[[Column], bool]) -> str:
    """Columns with their numbers of values."""
    return _listed([f"{column.name} ({len(column.values)} values)" for column in entry.columns if of(column)])


def to_choose_from(entry: Entry) -> str:
    """Columns of a reference without a label column; all if each has many values."""
    there = entry.dataset.obs_columns
    if not there:
        return "It has no columns: name a table of cells and their labels in `obs`"
    return "Its columns: " + (_columns_there(entry, lambda column: True) or _listed(there))


def chunks(n_cells: int) -> int:
    """Number of chunks of a dataset: 25 from a million cells on, more beyond five million."""
    if n_cells > 5_000_000:
        return min(10_000, math.ceil(n_cells / 200_000))
    return max(1, min(MAX_CHUNKS, math.ceil(n_cells / CELLS_PER_CHUNK)))


def _further(references: list[Entry], modality: str) -> list[str]:
    n_cells = sum(entry.n_cells for entry in references)
    further = {}
    if modality == "rna":
        further["genes: {n_variable: 4000, retrain_on_common: true}"] = "false: train once for all queries"
        further["model: {type: scvi}"] = "or scanvi, which is also trained on labels"
    else:
        further["genes: {retrain_on_common: false}"] = "train once for all queries"
        further["cytometry: {markers: {}, cofactor: auto}"] = "names; arcsinh(value / cofactor)"
    further["labels: {rename: {}, parents: {}}"] = "other spellings; coarser labels above these"
    if n_cells > MANY_CELLS:
        further[f"reference: {{subsample: {MANY_CELLS}}}"] = "train on fewer cells, sampled evenly"
    further["prediction: {max_error: 0.05}"] = "accepted share of wrong labels"
    lines = [f"# {key:<50}  # {what}" for key, what in further.items()]
    return ["# Often set as well:", *lines]


def written(value: Any) -> str:
    """A value as YAML on one line; unprintable characters are escaped in quotes."""
    how = {"default_flow_style": True, "width": math.inf}
    text = yaml.safe_dump(value, allow_unicode=True, **how).removesuffix("...\n").removesuffix("\n")
    if text.isprintable():
        return text
    return yaml.safe_dump(value, default_style='"', **how).removesuffix("\n")
