"""The report's page: what it says is gathered here, how it says it stands in page.html.j2 and page.js."""

import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import h5py
import jinja2
import numpy as np
import yaml

from ..core.atomic import complete
from ..core.logs import COMMAND, unfinished_logs
from ..core.text import duration
from ..cytometry.value_kinds import RAW
from ..labels.colors import assign_colors, colors_of
from ..resources.expected_jobs import expected_jobs
from ..runs.hashes import of_settings
from ..runs.versions import versions
from . import figures
from .batch_counts import count_batches
from .costs import costs, read_table
from .label_counts import count_labels
from .remarks import remarks
from .umap import LEAST_CELLS, embed, for_page, map_cells

FOLDER = Path(__file__).parent
UNLIMITED_MB = 10**6
MOST_LOSING_NAMED = 3
MOST_BATCHES_SHOWN = 200
MOST_MISTAKES_SHOWN = 500
PACKAGES = ["snakemake", "scvi-tools", "torch", "annbatch", "anndata", "scanpy", "xgboost", "scikit-learn"]
PACKAGES += ["umap-learn", "numpy", "scipy", "pandas", "pyarrow"]
COLORED_BY = ["label", "dataset", "batch", "probability"]
NO_MAP = f"There are fewer than {LEAST_CELLS} cells: too few for a map."
SO_FAR = "report_so_far"
"""The rule whose own log is still being written when it looks for those that did not come to their end."""
REFERENCE = "reference"
"""The part that holds the cells of all references."""


def write_page(
    *,
    evaluations: Sequence[str],
    predictions: Sequence[str],
    mapped: Sequence[str],
    inspected: Sequence[str],
    gene_loss: Sequence[str] = (),
    common: Sequence[str] = (),
    mappings: Sequence[str] = (),
    rules: str | None,
    left_out: str | None,
    labels: str | None,
    datasets: str | None,
    genes: str | None,
    history: str | None,
    panel: str | None = None,
    benchmarks: str,
    logs: str,
    page: str,
    drawn: str,
    references: list[str],
    queries: list[str],
    config: dict,
    seed: int,
    missing: Sequence[str] = (),
) -> None:
    """Draw the figures and write the page. What an unfinished run has not made is None, or not in its list.

    Parameters
    ----------
    evaluations, predictions
        One file per part, named `{part}.json` and `{part}.parquet`.
    mapped
        The chunks of all parts, in order, named `{part}/{chunk}.parquet`.
    inspected
        What inspect_dataset wrote, one file per dataset; costs are predicted from it.
    gene_loss
        What predict_gene_loss says of queries that may lack genes, one file `{query}/gene_loss.json` each.
    common
        Where the model is of others: counts of the queries, which tell what of its genes they have.
    mappings
        What compare_mappings says of queries that the model was fitted to, `{query}/mappings.json` each.
    rules
        What calibrate_classifier learned.
    left_out
        What became of the cells of each label when the reference was without it, if that was tried.
    labels
        What split_reference says about the reference's labels.
    datasets, genes, history
        What check_datasets, select_genes and train_reference_model report.
    panel
        Of cytometry: what compare_panels says of every channel.
    benchmarks, logs
        Folders with the benchmark tables and the logs.
    page, drawn
        The file to write, and the folder for the figures.
    references, queries
        Names of the datasets; the references together are the part `reference`.
    config
        The configuration, shown at the end.
    seed
        Seed of the map.
    missing
        What there is not yet, in words; a finished run misses nothing.
    """
    scores = {Path(path).stem: read_json(path) for path in evaluations}
    predicted = {Path(path).stem: path for path in predictions if Path(path).stem in queries}
    answers = {query: count_labels(predicted[query]) for query in queries if query in predicted}
    seen = read_json(labels) if labels else {"labels": {}}
    rare = {label: found["cells"] for label, found in seen["labels"].items() if not found["predictable"]}
    without = read_json(left_out) if left_out else {}
    losses = read_gene_loss(gene_loss)
    gene_report = read_json(genes) if genes else {}
    cofactors = gene_report.get("transformation", {}).get("cofactors", {})
    if not references:
        # An earlier run chose them, and its datasets are others, even those of the same name.
        gene_report = {key: gene_report[key] for key in ("namespace", "n_selected") if key in gene_report} | {
            "datasets": {}
        }
    by_part: dict[str, list[str]] = {}
    for path in mapped:
        by_part.setdefault(Path(path).parent.name, []).append(path)
    by_part = {part: by_part[part] for part in [REFERENCE, *queries] if part in by_part}
    colors = colors_of(seen)
    rows = read_table(history, delimiter=",") if history else []
    training = training_in_words(rows, config)
    answer_rules = read_json(rules) if rules else None
    context = {
        "missing": missing,
        "unfinished": [
            (log, said) for log, said in unfinished_logs(logs) if missing and log.parent.name != SO_FAR
        ],
        "reference": " and ".join(references) or pretrained_name(config),
        "imported": isinstance(config["pretrained"], dict),
        "answers": answers,
        "queries": queries,
        "batches": batches(by_part, predicted),
        "scores": scores,
        "unseen": unseen_labels(scores),
        "rare": rare,
        "left_out": without,
        "remarks": remarks(
            answers,
            scores,
            gene_report,
            gene_loss=losses,
            rare=rare,
            left_out=without,
            rounded={
                one["dataset"]: one["rounding"] for one in map(read_json, inspected) if one.get("rounding")
            },
        ),
        "genes": gene_report,
        "gene_loss": losses,
        "panels": panels(panel, inspected, cofactors) if panel else [],
        "fit": config.get("surgery", {}).get("fit", True),
        "mappings": {Path(path).parent.name: read_json(path) for path in mappings},
        "measured": {Path(path).stem: measured_genes(path) for path in common},
        "rules": answer_rules,
        "datasets": read_table(datasets) if datasets else [],
        "colors": colors,
        "mistakes": {part: mistakes(found["confusion"]) for part, found in scores.items()},
        "training": training,
        "costs": with_predictions(
            costs(benchmarks, logs), inspected, config, seen if config.get("pretrained") else None
        ),
        "unmeasured": unmeasured_rules(benchmarks, logs),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "limits": config.get("prediction", {}),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "config_hash": of_settings(config),
        "command": os.environ.get(COMMAND),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    with complete(drawn) as folder:
        context["map"] = draw_maps(by_part, predicted, colors, folder / "maps", seed=seed)
        context["figures"] = draw_curves(scores, rows, folder)
        context["figures"]["confusion"] = draw_confusions(scores, folder / "confusion")
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


def read_json(path: str | Path) -> dict:
    """What a JSON file holds."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_gene_loss(paths: Sequence[str]) -> dict[str, dict]:
    """What predict_gene_loss says, by query; `worst` holds the labels that lose most."""
    losses = {Path(path).parent.name: read_json(path) for path in paths}
    for loss in losses.values():
        fall = {label: entry["f1_without"] - entry["f1"] for label, entry in loss["labels"].items()}
        worst = sorted((label for label in fall if fall[label] < 0), key=fall.get)[:MOST_LOSING_NAMED]
        loss["worst"] = [(label, loss["labels"][label]) for label in worst]
    return losses


def panels(panel: str, inspected: Sequence[str], cofactors: dict[str, list[float]]) -> list[dict]:
    """Of each dataset of cytometry its kind of values, their cofactors, and its channels by use."""
    uses: dict[str, dict[str, list[str]]] = {}
    for row in read_table(panel):
        by_use = uses.setdefault(row["dataset"], {})
        by_use.setdefault(row["use"], []).append(row["marker"] or f"{row['channel']} ({row['kind']})")
    rows = []
    for path in inspected:
        found = read_json(path)
        seen = found["intensities"]
        used = sorted(set(cofactors.get(seen["technology"], [])))
        rows.append(
            {
                "dataset": found["dataset"],
                "technology": seen["technology"],
                "values": seen["values"],
                "cofactors": used if seen["values"] == RAW else [],
                "why": seen["why"],
                "uses": uses[found["dataset"]],
            }
        )
    return rows


def pretrained_name(config: dict) -> str:
    """What the configuration calls a reference that was trained before."""
    pretrained = config["pretrained"]
    return pretrained["model"] if isinstance(pretrained, dict) else str(pretrained)


def measured_genes(common: str) -> tuple[int, int]:
    """How many of the model's genes a query has, and how many the model has."""
    with h5py.File(common, "r", locking=False) as file:
        measured = file["var/measured"][:]
    return int(measured.sum()), len(measured)


def unseen_labels(scores: dict[str, dict]) -> list[dict]:
    """The true labels that no cell can get, dataset by dataset, with what became of their cells.

    Several of a kind are followed by a row of all of them together.
    """
    rows = []
    for part, found in scores.items():
        for kind, why in {
            "not_in_reference": "not in the reference",
            "not_predictable": "too few cells",
        }.items():
            labels = found[f"labels_{kind}"]
            rows += [
                {"dataset": part, "label": label, "why": why, **entry} for label, entry in labels.items()
            ]
            if len(labels) > 1:
                rows.append({"dataset": part, "label": "(together)", "why": why, "as": {}, **found[kind]})
    return rows


def mistakes(confusion: dict[str, list]) -> list[dict]:
    """The commonest wrong answers: truth, answer, cells, and their share of the truth's cells."""
    cells = np.array(confusion["cells"])
    found = [
        {"truth": truth, "answer": answer, "cells": int(n), "share": n / max(1, cells[row].sum())}
        for row, truth in enumerate(confusion["truth"])
        for answer, n in zip(confusion["predicted"], cells[row], strict=True)
        if n and answer != truth
    ]
    return sorted(found, key=lambda pair: -pair["cells"])[:MOST_MISTAKES_SHOWN]


def batches(by_part: dict[str, list[str]], predicted: dict[str, str]) -> dict[str, dict]:
    """By query: `n` batches, and the `shown` ones: of very many, those with most unknown cells."""
    found = {}
    for query, path in predicted.items():
        rows = count_batches(by_part.get(query, []), path)
        for row in rows:
            row["batch"] = row["batch"].removeprefix(f"{query}/")
        shown = rows
        if len(rows) > MOST_BATCHES_SHOWN:
            shown = sorted(rows, key=lambda row: -row["unknown"])[:MOST_BATCHES_SHOWN]
        found[query] = {"n": len(rows), "shown": shown}
    return found


def with_predictions(
    costs: list[dict], inspected: Sequence[str], config: dict, trained: dict | None
) -> list[dict]:
    """Costs with the memory (MB) that was predicted for the largest job of each rule; None where none was."""
    jobs = list(expected_jobs(config, [read_json(path) for path in inspected], trained))
    for cost in costs:
        mem_mb = int(cost["mem_mb"] or UNLIMITED_MB)
        peaks = [job.peak_mb(mem_mb) for job in jobs if job.rule == cost["rule"]]
        cost["predicted"] = max(peaks, default=None)
    return costs


def unmeasured_rules(benchmarks: str, logs: str) -> list[str]:
    """Rules that left logs and no table of what they took."""
    ran = {path.name for path in Path(logs).glob("*") if any(path.rglob("*.log"))}
    return sorted(
        ran - {path.name for path in Path(benchmarks).glob("*") if any(path.rglob("*.tsv"))} - {"report"}
    )


def draw_maps(
    by_part: dict[str, list[str]],
    predicted: dict[str, str],
    label_colors: dict[str, str],
    folder: Path,
    *,
    seed: int,
) -> dict | None:
    """Draw the maps into `{folder}/{colored by}.png`; what the page needs of them, None for too few."""
    shown = {part: paths for part, paths in by_part.items() if part == REFERENCE or part in predicted}
    print("drawing the maps")
    cells = map_cells(shown, predicted, seed=seed) if shown else {"latents": np.empty((0, 1))}
    if len(cells["latents"]) < LEAST_CELLS:
        for name in COLORED_BY:
            figures.save(figures.nothing_to_draw(NO_MAP), folder / f"{name}.png")
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


def draw_curves(
    scores: dict[str, dict], history: list[dict[str, str]], folder: Path
) -> dict[str, str | None]:
    """Draw `reliability.svg` and `training.svg`; as they stand in the page, None where there is nothing."""
    reliability, titles = figures.nothing_to_draw("No cells of a known truth were scored."), {}
    if scores:
        reliability, titles = figures.reliability_curve(
            {part: found["confidence"] for part, found in scores.items()},
            {part: found["forced"]["ece"] for part, found in scores.items()},
        )
    figures.save(reliability, folder / "reliability.svg", titles)
    losses = figures.losses_of(history)
    training, titles = figures.nothing_to_draw("The model left no training history."), {}
    if losses:
        training, titles = figures.training_curve(losses)
    figures.save(training, folder / "training.svg", titles)
    return {
        "reliability": figures.for_page(folder / "reliability.svg") if scores else None,
        "training": figures.for_page(folder / "training.svg") if losses else None,
    }


def draw_confusions(scores: dict[str, dict], folder: Path) -> dict[str, str]:
    """Draw `{folder}/{part}.svg` for each part that was scored; as they stand in the page."""
    for part, found in scores.items():
        if any(map(sum, found["confusion"]["cells"])):
            heatmap, titles = figures.confusion_heatmap(found["confusion"])
        else:
            heatmap, titles = figures.nothing_to_draw("No cell of a known truth."), {}
        figures.save(heatmap, folder / f"{part}.svg", titles)
    return {part: figures.for_page(folder / f"{part}.svg") for part in scores}


def training_in_words(history: list[dict[str, str]], config: dict) -> dict | None:
    """How training went: `epochs` of at most `max_epochs`, the `best` one by `loss`; None if unknown."""
    losses = figures.losses_of(history)
    if not losses:
        return None
    epochs, values = losses.get("validation") or losses["training"]
    best = int(np.argmin(values))
    most = history[-1].get("max_epochs")
    return {
        "type": config["model"]["type"],
        "epochs": len(history),
        "max_epochs": int(float(most)) if most else None,
        "watched": "validation" if "validation" in losses else "training",
        "best": int(epochs[best]),
        "loss": values[best],
        "patience": config["model"]["patience"],
        "early_stopping": config["model"]["early_stopping"],
    }


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
