"""The report's page: figures and template variables; its text is in page.html.j2 and page.js."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np

from ..artifacts.evaluation import Evaluation
from ..artifacts.latents import latent_columns
from ..core.atomic import complete
from ..core.text import duration
from ..labels.colors import assign_colors
from . import figures
from .context import gather
from .run_files import REFERENCE, RunFiles, RunResults, RunSettings
from .sections import draw_sections
from .umap import MIN_CELLS, embed, for_page, map_cells

FOLDER = Path(__file__).parent
COLORED_BY = ["label", "dataset", "batch", "probability"]
NO_MAP = f"No map: fewer than {MIN_CELLS} cells."
NO_LATENTS = "No map: the reference has no latent space."


def write_page(
    files: RunFiles, settings: RunSettings, *, page: str, drawn: str, missing: Sequence[str] = ()
) -> None:
    """Draw the figures and write the page.

    Parameters
    ----------
    files, settings
        Files of the run, and its configuration.
    page, drawn
        The file to write, and the folder for the figures.
    missing
        Names of missing results; empty for a finished run.
    """
    results = RunResults.read(files, settings.queries)
    context = gather(results, files, settings, missing)
    with complete(drawn) as folder:
        maps = folder / "maps"
        context["has_latents"] = has_latents(results.mapped)
        context["map"] = draw_maps(
            results.mapped, results.predicted, context["colors"], maps, seed=settings.seed
        )
        context["sections"] = draw_sections(
            {Path(path).stem: path for path in files.labeled},
            results.predicted,
            context["colors"],
            folder / "spatial",
            seed=settings.seed,
        )
        context["figures"] = draw_curves(results.scores, results.history, folder)
        context["figures"]["confusion"] = draw_confusions(results.scores, folder / "confusion")
    write(page, context)


def write(page: str, context: dict) -> None:
    """Fill in the template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(["html", "j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"percent": percent, "duration": duration, "count": count}
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    with complete(page) as path:
        text = environment.get_template("page.html.j2").render(context | {"script": script})
        path.write_text(text, encoding="utf-8")


def draw_maps(
    by_part: dict[str, list[str]],
    predicted: dict[str, str],
    label_colors: dict[str, str],
    folder: Path,
    *,
    seed: int,
) -> dict | None:
    """Draw the maps into `{folder}/{colored by}.png`; return the page's part, None without maps."""
    shown = {part: paths for part, paths in by_part.items() if part == REFERENCE or part in predicted}
    print("drawing the maps")
    drawn = shown and has_latents(shown)
    cells = map_cells(shown, predicted, seed=seed) if drawn else {"latents": np.empty((0, 1))}
    if len(cells["latents"]) < MIN_CELLS:
        why = NO_MAP if has_latents(shown) else NO_LATENTS
        for name in COLORED_BY:
            figures.save(figures.nothing_to_draw(why), folder / f"{name}.png")
        return None
    embedding = embed(cells["latents"], seed)
    batch, n_cells = np.unique(cells["batch"].astype(str), return_counts=True)
    colors = {
        "label": {label: color for label, color in label_colors.items() if label in set(cells["label"])},
        "dataset": figures.dataset_colors(list(shown)),
        "batch": assign_colors(batch[np.argsort(-n_cells, kind="stable")].tolist()),
    }
    for name, by in colors.items():
        figures.save(figures.map_by_category(embedding, cells[name], by), folder / f"{name}.png")
    figures.save(figures.map_by_probability(embedding, cells["probability"]), folder / "probability.png")
    return {
        "cells": len(embedding),
        "data": for_page(cells, embedding, colors),
        "images": {name: figures.png_uri(folder / f"{name}.png") for name in COLORED_BY},
    }


def has_latents(by_part: dict[str, list[str]]) -> bool:
    """True if the mapped cells have latents."""
    return all(latent_columns(paths) for paths in by_part.values())


def draw_curves(
    scores: dict[str, Evaluation], history: list[dict[str, str]], folder: Path
) -> dict[str, str | None]:
    """Draw `reliability.svg` and `training.svg`; return them for the page, None if empty."""
    reliability, titles = figures.nothing_to_draw("No cells with a known truth were scored."), {}
    if scores:
        reliability, titles = figures.reliability_curve(
            {part: of_part.confidence for part, of_part in scores.items()},
            {part: of_part.forced.ece for part, of_part in scores.items()},
        )
    figures.save(reliability, folder / "reliability.svg", titles)
    losses = figures.losses_of(history)
    training, titles = figures.nothing_to_draw("The model has no training history."), {}
    if losses:
        training, titles = figures.training_curve(losses)
    figures.save(training, folder / "training.svg", titles)
    return {
        "reliability": figures.for_page(folder / "reliability.svg") if scores else None,
        "training": figures.for_page(folder / "training.svg") if losses else None,
    }


def draw_confusions(scores: dict[str, Evaluation], folder: Path) -> dict[str, str]:
    """Draw `{folder}/{part}.svg` for each scored part; return them for the page."""
    folder.mkdir(parents=True, exist_ok=True)  # a result of the run, even if nothing was scored
    for part, of_part in scores.items():
        if of_part.confusion.cells:
            heatmap, titles = figures.confusion_heatmap(of_part.confusion)
        else:
            heatmap, titles = figures.nothing_to_draw("No cell with a known truth."), {}
        figures.save(heatmap, folder / f"{part}.svg", titles)
    return {part: figures.for_page(folder / f"{part}.svg") for part in scores}


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{value:.1%}"


def count(value: float | None) -> str:
    """A number with separators of thousands; a fraction with three digits."""
    if value is None:
        return "–"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
