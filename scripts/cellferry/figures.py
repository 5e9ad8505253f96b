"""The report's figures, as images to stand inline in a page.

Colours: Okabe and Ito's and Paul Tol's, told apart by colour-blind readers; a label has the same colour in
every figure. Where there are more labels than colours, the smallest share one grey.
"""

import base64
import io

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

from .cells import UNKNOWN

LABEL_COLORS = [
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#332288", "#999933",
    "#882255", "#44AA99", "#B8A400", "#AA4499", "#117733", "#661100", "#6699CC", "#DDAA99",
    "#004488", "#88CC66", "#AA7744", "#BB5566",
]  # fmt: skip
UNKNOWN_COLOR = "#222222"
OTHER_COLOR = "#B5B5B5"
REFERENCE_COLOR = "#B5B5B5"
MOST_IN_CONFUSION = 60
LEAST_CELLS_PER_BIN = 10

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a `$` in a label is a `$`
    "svg.fonttype": "none",
    "svg.hashsalt": "cellferry",
}


def label_colors(labels: list[str]) -> dict[str, str]:
    """Colour by label; `labels` are ordered by size, so that the largest get colours of their own."""
    named = [label for label in labels if label != UNKNOWN]
    colors = dict.fromkeys(named, OTHER_COLOR)
    colors |= dict(zip(named, LABEL_COLORS, strict=False))
    return colors | {UNKNOWN: UNKNOWN_COLOR}


def data_uri(figure: Figure, *, kind: str) -> str:
    """A figure as the `src` of an img element; `kind` is svg, or png where there are many points."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=150, bbox_inches="tight", metadata=metadata)
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _map_axes(embedding: np.ndarray, *, width: float) -> tuple[Figure, mpl.axes.Axes, float]:
    """An empty map, and the area of a point in it."""
    figure = Figure(figsize=(width, 4.6))
    axes = figure.subplots()
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.set_aspect("equal", adjustable="datalim")
    return figure, axes, float(np.clip(30_000 / max(1, len(embedding)), 3, 25))


def _key(axes: mpl.axes.Axes, colors: dict[str, str], *, below: bool = False) -> None:
    """A legend to the right of the map, or below it."""
    handles = [
        mpl.lines.Line2D([], [], marker="o", linestyle="", color=color, label="\u200b" + _short(name))
        for name, color in colors.items()
    ]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.06), "ncols": 3}
    if not below:
        place = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    axes.legend(handles=handles, frameon=False, fontsize=8, **place)


def _short(name: str, most: int = 28) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def map_by_dataset(embedding: np.ndarray, datasets: np.ndarray, names: list[str]) -> str:
    """Map of the latent space (cells × 2) coloured by dataset; the first of `names` is the reference."""
    with mpl.rc_context(STYLE):
        figure, axes, size = _map_axes(embedding, width=5)
        colors = {names[0]: REFERENCE_COLOR}
        for position, name in enumerate(names[1:]):
            colors[name] = LABEL_COLORS[position % len(LABEL_COLORS)]
        _scatter(axes, embedding, np.array([colors[name] for name in datasets]), size)
        _key(axes, colors, below=True)
        return data_uri(figure, kind="png")


def map_by_label(embedding: np.ndarray, labels: np.ndarray, colors: dict[str, str]) -> str:
    """Map of the latent space coloured by label; small labels share one colour."""
    with mpl.rc_context(STYLE):
        figure, axes, size = _map_axes(embedding, width=7)
        _scatter(axes, embedding, np.array([colors[label] for label in labels]), size)
        present = [label for label in colors if label in set(labels)]
        key = {label: colors[label] for label in present if colors[label] != OTHER_COLOR}
        if len(key) < len(present):
            key[f"{len(present) - len(key)} more labels"] = OTHER_COLOR
        _key(axes, key)
        return data_uri(figure, kind="png")


def map_by_probability(embedding: np.ndarray, probability: np.ndarray) -> str:
    """Map of the latent space coloured by the answer's probability; reference cells (NaN) are grey."""
    with mpl.rc_context(STYLE):
        figure, axes, size = _map_axes(embedding, width=5)
        of_query = ~np.isnan(probability)
        axes.scatter(*embedding[~of_query].T, s=size, c="#E4E4E4", linewidths=0)
        points = axes.scatter(
            *embedding[of_query].T,
            s=size,
            c=probability[of_query],
            cmap="cividis",
            vmin=0,
            vmax=1,
            linewidths=0,
        )
        figure.colorbar(
            points,
            ax=axes,
            label="probability of the best label",
            orientation="horizontal",
            shrink=0.6,
            pad=0.08,
        )
        return data_uri(figure, kind="png")


def _scatter(axes: mpl.axes.Axes, embedding: np.ndarray, colors: np.ndarray, size: float) -> None:
    # Shuffled, so that no dataset or label hides another by being drawn last.
    order = np.random.default_rng(0).permutation(len(embedding))
    axes.scatter(*embedding[order].T, s=size, c=colors[order], linewidths=0)


def confusion_heatmap(confusion: dict[str, list], *, kind: str = "svg") -> str:
    """Shares of each true label's cells (rows) by answer (columns); at most the 60 largest true labels.

    Where there are more answers than that, those that are not among the rows share the column `others`.
    `kind` as in `data_uri`.
    """
    cells = np.array(confusion["cells"], dtype=np.float64)
    largest = np.sort(np.argsort(-cells.sum(axis=1), kind="stable")[:MOST_IN_CONFUSION])
    truth, cells = [confusion["truth"][row] for row in largest], cells[largest]
    predicted = confusion["predicted"]
    if len(predicted) > MOST_IN_CONFUSION:
        shown = np.array([name in {*truth, UNKNOWN} for name in predicted])
        predicted = [name for name in predicted if name in {*truth, UNKNOWN}] + ["others"]
        cells = np.column_stack([cells[:, shown], cells[:, ~shown].sum(axis=1)])
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    with mpl.rc_context(STYLE | {"font.size": 8 if len(truth) <= 30 else 5.5}):
        side = 0.34 if len(truth) <= 30 else 0.16
        figure = Figure(figsize=(1.5 + side * len(predicted), 1 + side * len(truth)))
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        axes.set_xticks(range(len(predicted)), [_short(name) for name in predicted], rotation=90)
        axes.set_yticks(range(len(truth)), [_short(name) for name in truth])
        axes.set(xlabel="answer", ylabel="truth")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if len(truth) <= 30:
            for row, column in np.argwhere(share >= 0.005):
                value = share[row, column]
                color = "white" if value > 0.6 else "black"
                axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=6, color=color)
        return data_uri(figure, kind=kind)


def training_curve(losses: dict[str, tuple[list[float], list[float]]]) -> str:
    """Loss per epoch; `losses` holds epochs and values by name."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.5, 2.8))
        axes = figure.subplots()
        styles = ["-", "--"]
        for position, (name, (x, y)) in enumerate(losses.items()):
            axes.plot(
                x,
                y,
                styles[position % 2],
                marker="." if len(x) < 3 else "",
                color=LABEL_COLORS[position],
                label=name,
                linewidth=1.4,
            )
        axes.set(xlabel="epoch", ylabel="loss")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        axes.legend(frameon=False)
        return data_uri(figure, kind="svg")


def confidence_curve(
    by_dataset: dict[str, list[dict]], errors: dict[str, float | None], *, kind: str = "svg"
) -> str:
    """Share of right labels against the probability given, per dataset; the diagonal is what is meant.

    The key gives each dataset's expected calibration error, where it has one. `kind` as in `data_uri`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.6))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
        markers = "osD^vP*X"
        for position, (name, bins) in enumerate(by_dataset.items()):
            filled = [entry for entry in bins if entry["cells"] >= LEAST_CELLS_PER_BIN]
            axes.plot(
                [entry["mean_probability"] for entry in filled],
                [entry["accuracy"] for entry in filled],
                color=LABEL_COLORS[position % len(LABEL_COLORS)],
                marker=markers[position % len(markers)],
                markersize=4,
                linewidth=1.2,
                label="\u200b"
                + _short(name)
                + ("" if errors[name] is None else f" (ECE {errors[name]:.3f})"),
            )
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability given", ylabel="share of right labels")
        axes.legend(frameon=False, fontsize=8)
        return data_uri(figure, kind=kind)
