"""Single-cell objects of R: assays with matrices, annotation of cells and genes.

Objects are detected by their slots and not by their class, since packages derive their own classes:

- Seurat 3 to 5: `assays`, each with `counts` and `data` (Assay), or with `layers` and the names of their
cells and
  genes (Assay5); `meta.data`.
- Seurat 2: `raw.data`, `data`, `meta.data`; further assays in `assay`.
- SummarizedExperiment and SingleCellExperiment: `assays`, `colData`, names in `rowRanges` or `NAMES`;
alternative
  experiments in `int_colData`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from .matrices import dimnames
from .nodes import WIDTHS, Node
from .vectors import is_column, is_text

SEURAT_SLOTS = ("raw.data", "counts", "data", "scale.data")
LISTS = {"list", "DGEList"}
"""Classes of lists with counts; other classes contain computed results."""

SPLIT_LAYERS = ("counts", "data", "scale.data")
"""Layers that can be split, with a suffix after a dot."""


class Names(NamedTuple):
    """Names of cells or genes.

    Attributes
    ----------
    node
        A vector of strings; None if the names are in the matrix or missing.
    chosen_by
        A logical matrix with a row per name, and its column that selects names; used only if the matrix has
        fewer rows or columns than there are names.
    """

    node: Node | None
    chosen_by: tuple[Node, int] | None = None

    @property
    def nodes(self) -> list[Node]:
        """The vectors from which they are read."""
        return [node for node in (self.node, self.chosen_by and self.chosen_by[0]) if node]


class Part(NamedTuple):
    """A matrix of an assay, genes × cells.

    Attributes
    ----------
    where
        Name for messages.
    matrix
        Value that should be a matrix.
    genes, cells
        Names of its rows and columns.
    """

    where: str
    matrix: Node
    genes: Names = Names(None)
    cells: Names = Names(None)


class Table(NamedTuple):
    """An annotation table.

    Attributes
    ----------
    names
        Names of its rows, or None.
    n_rows
        Number of rows.
    columns
        Supported columns.
    left_out
        Names of the other columns.
    """

    names: Node | None
    n_rows: int
    columns: dict[str, Node]
    left_out: list[str]


@dataclass
class Assay:
    """An assay of a Seurat object, or an experiment of a SingleCellExperiment.

    Attributes
    ----------
    name
        Name; "" if the object has a single unnamed assay.
    places
        Matrices that can contain counts, by name; the parts of a place are side by side.
    parts
        Single parts of such places, by name.
    genes
        Row names for a table of genes without names.
    var
        The table of genes.
    is_derived
        True if its counts have been corrected or integrated.
    """

    name: str
    places: dict[str, list[Part]]
    parts: dict[str, list[Part]] = field(default_factory=dict)
    genes: Node | None = None
    var: Table | None = None
    is_derived: bool = False


@dataclass
class Experiment:
    """A single-cell object.

    Attributes
    ----------
    what
        Noun for messages.
    assays
        Assays by name.
    active
        Name of the active assay.
    cells
        The table of cells, or None.
    """

    what: str
    assays: dict[str, Assay]
    active: str = ""
    cells: Table | None = None

    @property
    def kind_of_assay(self) -> str:
        """Noun for its assays in messages."""
        return "experiment" if self.what.endswith("Experiment") else "assay"


def experiment_of(node: Node) -> Experiment | None:
    """The single-cell object in a value, or None."""
    slots = node.attributes
    if node.kind != "S4":
        return None
    if {"assays", "meta.data"} <= slots.keys():
        return _seurat(node)
    if {"raw.data", "meta.data"} <= slots.keys():
        return _seurat_2(node)
    if {"assays", "colData"} <= slots.keys():
        return _summarized(node)
    assay = _assay("", node)
    return Experiment("Seurat assay", {"": assay}) if assay is not None and "key" in slots else None


def items(node: Node) -> dict[str, Node]:
    """Items of a list of R or Bioconductor by name; by number if a name is missing or repeated.

    Empty for tables and models, which are lists of columns and of results.
    """
    listed = node.slot("listData") or node
    is_table = {"row.names", "rownames"} & node.attributes.keys()
    is_other = listed is node and not LISTS.issuperset(node.classes)
    if listed.kind != "list" or is_table or is_other:
        return {}
    names = listed.attributes["names"].strings if "names" in listed.attributes else []
    names += [""] * (len(listed.items) - len(names))
    return {
        name if name and names.count(name) == 1 else str(number): item
        for number, (name, item) in enumerate(zip(names, listed.items, strict=False), start=1)
    }


def describe(node: Node) -> str:
    """Description of a value for messages."""
    names = [name for name in node.named() if not name.isdigit()]
    inside = f" of {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else ""
    classes = node.classes
    if "data.frame" in classes:
        return f"a data.frame{inside}"
    if classes:
        package = f" of package {node.package}" if node.package else ""
        return f"an object of class {' / '.join(classes)}{package}"
    if node.kind in ("list", "pairlist"):
        return f"a list{inside}"
    if node.kind in WIDTHS and "dim" in node.attributes:
        return f"a matrix of {' × '.join(str(int(n)) for n in node.attributes['dim'].numbers)}"
    if node.kind in ("environment", "expression", "integer", "external pointer"):
        return f"an {node.kind}"
    return "NULL" if node.is_null else f"a {node.kind}"


def _seurat(node: Node) -> Experiment:
    assays_by_name = {name: _assay(name, item) for name, item in node.attributes["assays"].named().items()}
    cells = _cells_of_seurat(node, "active.ident")
    assays = {name: assay for name, assay in assays_by_name.items() if assay is not None}
    active = node.slot("active.assay")
    return Experiment("Seurat object", assays, "".join(active.strings[:1]) if active else "", cells)


def _seurat_2(node: Node) -> Experiment:
    further = node.slot("assay")
    assays = {"RNA": node} | ({} if further is None else further.named())
    assays_by_name = {name: _assay(name, item) for name, item in assays.items()}
    cells = _cells_of_seurat(node, "ident")
    return Experiment(
        "Seurat object (version 2)",
        {name: assay for name, assay in assays_by_name.items() if assay is not None},
        "RNA",
        cells,
    )


def _cells_of_seurat(node: Node, identity: str) -> Table:
    """meta.data, together with the identities of the cells, which may be stored elsewhere."""
    cells = _data_frame(node.attributes["meta.data"])
    found = node.slot(identity)
    if found is not None and identity not in cells.columns and is_column(found, cells.n_rows):
        cells.columns[identity] = found
    return cells


def _assay(name: str, node: Node) -> Assay | None:
    slots = node.attributes
    is_derived = "SCTAssay" in node.classes or name == "integrated"
    if "layers" in slots:
        return _assay_5(name, node, is_derived=is_derived)
    if "data" not in slots:
        return None
    table = node.slot("meta.features")
    var = None if table is None else _data_frame(table)
    where = f"{name}/" if name else ""
    names = Names(None if var is None else var.names)
    places = {
        slot: [Part(f"{where}{slot}", slots[slot], genes=names)]
        for slot in SEURAT_SLOTS
        if node.slot(slot) is not None
    }
    return Assay(name, places, var=var, is_derived=is_derived)


def _assay_5(name: str, node: Node, *, is_derived: bool) -> Assay:
    genes, cells = (node.attributes.get(side) for side in ("features", "cells"))
    where = f"{name}/" if name else ""
    layers = {
        layer: [Part(f"{where}{layer}", matrix, _names_of_layer(genes, layer), _names_of_layer(cells, layer))]
        for layer, matrix in node.attributes["layers"].named().items()
    }
    places: dict[str, list[Part]] = {}
    for layer in layers:
        bases = [base for base in SPLIT_LAYERS if layer.startswith(f"{base}.") and base not in layers]
        places.setdefault((bases or [layer])[0], []).extend(layers[layer])
    table = node.slot("meta.data")
    return Assay(
        name,
        places,
        parts=layers,
        genes=_names_of_layer(genes, None).node,
        var=None if table is None else _data_frame(table),
        is_derived=is_derived,
    )


def _names_of_layer(logical: Node | None, layer: str | None) -> Names:
    """Names in a LogMap, a logical matrix: its rows, selected by the column of the layer."""
    if logical is None:
        return Names(None)
    names, layers = dimnames(logical.attributes.get("dimnames"))
    if layers is None or layer not in layers.strings:
        return Names(names)
    return Names(names, (logical, layers.strings.index(layer)))


def _summarized(node: Node) -> Experiment:
    what = "SingleCellExperiment" if "int_colData" in node.attributes else "SummarizedExperiment"
    metadata = node.slot("int_metadata")
    name = ""
    if metadata is not None and "mainExpName" in metadata.named():
        name = "".join(metadata.named()["mainExpName"].strings[:1])
    assays = {name: _experiment(name, node)}
    internal = node.slot("int_colData", "listData")
    others = None if internal is None else internal.named().get("altExps")
    listed = None if others is None else others.slot("listData")
    for other, item in ({} if listed is None else listed.named()).items():
        inner = item.slot("se")
        if inner is not None and "assays" in inner.attributes:
            assays[other] = _experiment(other, inner)
    return Experiment(what, assays, name, _data_frame(node.attributes["colData"]))


def _experiment(name: str, node: Node) -> Assay:
    genes = None
    for path in (
        ("NAMES",),
        ("rowRanges", "partitioning", "NAMES"),
        ("rowRanges", "ranges", "NAMES"),
        ("rowRanges", "NAMES"),
        ("elementMetadata", "rownames"),
    ):
        genes = genes or node.slot(*path)
    table = node.slot("rowRanges", "elementMetadata") or node.slot("elementMetadata")
    # The list itself, a slot, or (before 2019) a field in a reference object's environment.
    listed = None
    for path in (("data", "listData"), (".xData", "data", "listData"), ("listData",)):
        listed = listed or node.slot("assays", *path)
    matrices = {} if listed is None else listed.named()
    where = f"{name}/" if name else ""
    return Assay(
        name,
        {place: [Part(f"{where}{place}", matrix, Names(genes))] for place, matrix in matrices.items()},
        genes=genes,
        var=None if table is None else _data_frame(table),
    )


def _data_frame(node: Node) -> Table:
    """A data.frame of R, or a DFrame of Bioconductor."""
    if "listData" in node.attributes:
        rows, names = node.slot("nrows"), node.slot("rownames")
        n_rows = int(rows.numbers[0]) if rows is not None and len(rows.numbers) else 0
        columns = node.attributes["listData"].named()
    else:
        names = node.attributes.get("row.names", Node("NULL"))
        numbers = names.numbers
        # c(NA, -n) encodes the numbers up to n.
        is_number_of_rows = names.kind == "integer" and names.length == 2 and numbers[0] < 0
        n_rows = abs(int(numbers[1])) if is_number_of_rows else names.length
        columns = node.named()
    kept = {name: column for name, column in columns.items() if is_column(column, n_rows)}
    left_out = [name for name in columns if name not in kept]
    return Table(names if names is not None and names.kind == "character" else None, n_rows, kept, left_out)


def text_columns(table: Table) -> dict[str, Node]:
    """The columns of a table that contain strings."""
    return {name: column for name, column in table.columns.items() if is_text(column)}
