"""The report's figures: drawn once, for the page, for `snakemake --report`, and for print.

Confusion, calibration and losses are SVG with numbers as tooltips. Maps of thousands of cells are PNG, which
keeps the page small for any number of cells.
"""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..artifacts.evaluation import Confusion, ReliabilityBin
from ..labels.colors import PALETTE, REFERENCE_COLOR, assign_colors
from ..labels.vocabulary import UNKNOWN

NO_COLOR = "#E4E4E4"
MAX_IN_CONFUSION = 60
MAX_IN_KEY = 24
PANELS_IN_ROW = 3
MIN_CELLS_PER_BIN = 10
SVG = "{http://www.w3.org/2000/svg}"
MARKERS = "osD^vP*X"

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a `$` in a label is a `$`
    "svg.fonttype": "none",
}


def save(figure: Figure, path: str | Path, titles: dict[str, list[str]] | None = None) -> None:
    """Write a figure as SVG or PNG, by the file's suffix, and create its folder.

    Parameters
    ----------
    figure, path
        The figure and its file.
    titles
        Tooltips of an SVG: one per shape of a collection (in their order), by the collection's gid.
    """
    kind = Path(path).suffix.removeprefix(".")
    buffer = io.BytesIO()
    # Ids in an SVG must differ from those of other figures in the page.
    with mpl.rc_context(STYLE | {"svg.hashsalt": Path(path).name}):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=150, bbox_inches="tight", metadata=metadata)
    written = buffer.getvalue() if kind == "png" else with_titles(buffer.getvalue(), titles or {})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(written)


def with_titles(svg: bytes, titles: dict[str, list[str]]) -> bytes:
    """Add tooltips to the shapes of an SVG; see `save`."""
    ElementTree.register_namespace("", SVG.strip("{}"))
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg)
    root.remove(root.find(f"{SVG}metadata"))
    # Groups of several figures in a page have the same ids; only definitions are referenced.
    for group in root.iter(f"{SVG}g"):
        lines_of_title = titles.get(group.attrib.pop("id", ""), [])
        shapes = [
            shape
            for child in group
            if child.tag != f"{SVG}defs"
            for shape in child.iter()
            if shape.tag in (f"{SVG}path", f"{SVG}use")
        ]
        for shape, text in zip(shapes, lines_of_title, strict=bool(lines_of_title)):
            ElementTree.SubElement(shape, f"{SVG}title").text = text
    return ElementTree.tostring(root, encoding="utf-8")


def for_page(path: str | Path) -> str:
    """An SVG file as a page embeds it: without prolog and fixed height."""
    svg = re.search(r"<svg\b.*</svg>", Path(path).read_text(encoding="utf-8"), re.S)[0]
    return re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)


def png_uri(path: str | Path) -> str:
    """A PNG file as the `src` of an img element."""
    return f"data:image/png;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def nothing_to_draw(why: str) -> Figure:
    """A placeholder figure with the reason for its absence."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 1))
        figure.text(0.5, 0.5, why, ha="center", va="center", color="#5b6675")
        return figure


def map_by_category(embedding: np.ndarray, values: np.ndarray, colors: dict[str, str]) -> Figure:
    """Map of the latent space (cells × 2) colored by label, dataset or batch.

    Parameters
    ----------
    embedding
        Cells × 2.
    values
        The category of each cell, None if missing.
    colors
        Color by category, in the order of the key.
    """
    with mpl.rc_context(STYLE):
        figure, axes, size = _map_axes(embedding)
        # Shuffled, so that no category hides another by being drawn last.
        order = np.random.default_rng(0).permutation(len(embedding))
        drawn = np.array([colors.get(value, NO_COLOR) for value in values[order]])
        axes.scatter(*embedding[order].T, s=size, c=drawn, linewidths=0)
        present = set(values)
        key = {name: color for name, color in colors.items() if name in present}
        _key(axes, _shortened(key))
        return figure


def map_by_probability(embedding: np.ndarray, probability: np.ndarray) -> Figure:
    """Map of the latent space colored by the answer's probability; reference cells (NaN) are gray."""
    with mpl.rc_context(STYLE):
        figure, axes, size = _map_axes(embedding)
        of_query = ~np.isnan(probability)
        axes.scatter(*embedding[~of_query].T, s=size, c=NO_COLOR, linewidths=0)
        points = axes.scatter(
            *embedding[of_query].T,
            s=size,
            c=probability[of_query],
            cmap="cividis",
            vmin=0,
            vmax=1,
            linewidths=0,
        )
        figure.colorbar(points, ax=axes, label="probability of the best label", shrink=0.6)
        return figure


def map_of_sections(panels: list[tuple[str, np.ndarray, np.ndarray]], colors: dict[str, str]) -> Figure:
    """Labels over coordinates, a panel per tissue section; y points downwards, as in images.

    Parameters
    ----------
    panels
        Title, coordinates (cells × 2) and labels of each section.
    colors
        Color by label, in the order of the key.
    """
    n_columns = min(len(panels), PANELS_IN_ROW)
    n_rows = -(-len(panels) // n_columns)
    side = 5.0 if len(panels) == 1 else 9.0 / n_columns
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side * n_columns, side * n_rows))
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for axes, (title, places, labels) in zip(grid.flat, panels, strict=False):
            order = np.random.default_rng(0).permutation(len(places))
            # Cells without a label lie below the others.
            order = order[np.argsort(labels[order] != UNKNOWN, kind="stable")]
            drawn = np.array([colors.get(label, NO_COLOR) for label in labels[order]])
            size = float(np.clip(side**2 * 500 / len(places), 0.3, 15))
            axes.scatter(*places[order].T, s=size, c=drawn, linewidths=0)
            axes.set(xticks=[], yticks=[], aspect="equal")
            axes.invert_yaxis()
            axes.spines[:].set_visible(False)
            axes.set_title(title, fontsize=8)
        present = {label for _, _, labels in panels for label in labels}
        last = grid[0, n_columns - 1]
        _key(last, _shortened({name: color for name, color in colors.items() if name in present}))
        return figure


def dataset_colors(names: list[str]) -> dict[str, str]:
    """Color by dataset; the first of `names` is the reference, which is gray."""
    return {names[0]: REFERENCE_COLOR} | assign_colors(names[1:])


def _map_axes(embedding: np.ndarray) -> tuple[Figure, mpl.axes.Axes, float]:
    """An empty map, and the area of a point in it."""
    figure = Figure(figsize=(7, 4.6))
    axes = figure.subplots()
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.set_aspect("equal", adjustable="datalim")
    return figure, axes, float(np.clip(30_000 / max(1, len(embedding)), 3, 25))


def _shortened(key: dict[str, str]) -> dict[str, str]:
    """The first names of a key, and the number of the others."""
    shown = dict(list(key.items())[:MAX_IN_KEY])
    if len(key) > len(shown):
        shown[f"and {len(key) - len(shown)} more"] = "#FFFFFF"
    return shown


def _key(axes: mpl.axes.Axes, colors: dict[str, str]) -> None:
    handles = [
        mpl.lines.Line2D([], [], marker="o", linestyle="", color=color, label="\u200b" + short(name))
        for name, color in colors.items()
    ]
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    axes.legend(handles=handles, frameon=False, fontsize=8, **place)


def short(name: str, most: int = 28) -> str:
    """A name that fits beside a figure."""
    return name if len(name) <= most else name[: most - 1] + "…"


def confusion_shares(confusion: Confusion) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Content of the heatmap: labels of rows (truth) and columns (answer), cells, shares of a row.

    At most the 60 largest true labels. If there are more than 60 answers, those that are not among the rows
    share the column `others`.
    """
    rows, columns, counts = np.array(confusion.cells, dtype=np.int64).reshape(-1, 3).T
    sizes = np.bincount(rows, weights=counts, minlength=len(confusion.truth))
    largest = np.sort(np.argsort(-sizes, kind="stable")[:MAX_IN_CONFUSION])
    truth, predicted = [confusion.truth[row] for row in largest], confusion.predicted
    if len(predicted) > MAX_IN_CONFUSION:
        predicted = [name for name in predicted if name in {*truth, UNKNOWN}] + ["others"]
    place = {name: column for column, name in enumerate(predicted)}
    column_of = np.array([place.get(name, len(predicted) - 1) for name in confusion.predicted])
    is_shown = np.isin(rows, largest)
    cells = np.zeros((len(truth), len(predicted)), dtype=np.int64)
    shown = np.searchsorted(largest, rows[is_shown]), column_of[columns[is_shown]]
    np.add.at(cells, shown, counts[is_shown])
    return truth, predicted, cells, cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)


def confusion_heatmap(confusion: Confusion) -> tuple[Figure, dict[str, list[str]]]:
    """Heatmap of answers (columns) as shares of each true label's cells (rows), with tooltips."""
    truth, predicted, cells, share = confusion_shares(confusion)
    filled = np.argwhere(cells > 0)
    few = len(truth) <= 30
    with mpl.rc_context(STYLE | {"font.size": 8 if few else 5.5}):
        side = 0.34 if few else 0.16
        figure = Figure(figsize=(1.5 + side * len(predicted), 1 + side * len(truth)))
        axes = figure.subplots()
        squares = PatchCollection([Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in filled])
        squares.set(array=share[tuple(filled.T)], cmap="Blues", clim=(0, 1), gid="shares")
        axes.add_collection(squares)
        axes.set(xlim=(-0.5, len(predicted) - 0.5), ylim=(len(truth) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(predicted)), [short(name) for name in predicted], rotation=90)
        axes.set_yticks(range(len(truth)), [short(name) for name in truth])
        axes.set(xlabel="answer", ylabel="truth")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for row, column in filled if few else ():
            value = share[row, column]
            if value >= 0.005:
                color = "white" if value > 0.6 else "black"
                axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=6, color=color)
    titles = [
        f"truth {truth[row]}, answer {predicted[column]}: {cells[row, column]:,} of {cells[row].sum():,} "
        f"cells ({share[row, column]:.1%})"
        for row, column in filled
    ]
    return figure, {"shares": titles}


def training_curve(losses: dict[str, tuple[list[float], list[float]]]) -> tuple[Figure, dict[str, list[str]]]:
    """Loss per epoch; `losses` holds epochs and values by name."""
    titles = {}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.5, 2.8))
        axes = figure.subplots()
        for position, (name, (x, y)) in enumerate(losses.items()):
            color = PALETTE[position]
            axes.plot(x, y, ["-", "--"][position % 2], color=color, label=name, linewidth=1.4)
            axes.scatter(x, y, s=4 if len(x) > 30 else 12, color=color, linewidths=0, gid=name)
            titles[name] = [
                f"{name}, epoch {epoch:.0f}: {loss:.4g}" for epoch, loss in zip(x, y, strict=True)
            ]
        axes.set(xlabel="epoch", ylabel="loss")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        axes.legend(frameon=False)
    return figure, titles


def reliability_curve(
    by_dataset: dict[str, list[ReliabilityBin]], errors: dict[str, float | None]
) -> tuple[Figure, dict[str, list[str]]]:
    """Share of right labels by probability, per dataset; the diagonal is perfect calibration.

    The key contains each dataset's expected calibration error, if it has one.
    """
    titles = {}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.6))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        for position, (name, bins) in enumerate(by_dataset.items()):
            filled = [entry for entry in bins if entry.cells >= MIN_CELLS_PER_BIN]
            x = [entry.mean_probability for entry in filled]
            y = [entry.accuracy for entry in filled]
            style = {
                "color": PALETTE[position % len(PALETTE)],
                "label": "\u200b"
                + short(name)
                + ("" if errors[name] is None else f" (ECE {errors[name]:.3f})"),
            }
            axes.plot(x, y, marker=MARKERS[position % len(MARKERS)], markersize=4, linewidth=1.2, **style)
            # Invisible, and large enough for the mouse.
            axes.scatter(x, y, s=120, alpha=0, gid=f"bins {name}")
            titles[f"bins {name}"] = [_bin_in_words(name, entry) for entry in filled]
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability", ylabel="share of right labels")
        axes.legend(frameon=False, fontsize=8)
    return figure, titles


def _bin_in_words(name: str, entry: ReliabilityBin) -> str:
    return (
        f"{name}: {entry.cells:,} cells with a mean probability of {entry.mean_probability:.2f}; "
        f"{entry.accuracy:.1%} of them are right"
    )


def losses_of(rows: Iterable[dict[str, str]]) -> dict[str, tuple[list[float], list[float]]]:
    """Epochs (from 1 on) and finite losses by name, from a training history."""
    rows = list(rows)
    losses = {}
    for column, name in {"train_loss": "training", "validation_loss": "validation"}.items():
        points = [(float(row["epoch"]) + 1, float(row[column])) for row in rows if row.get(column)]
        points = [point for point in points if np.isfinite(point[1])]
        if points:
            losses[name] = tuple(map(list, zip(*points, strict=True)))
    return losses
