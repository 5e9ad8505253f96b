"""Draw the report: one self-contained page with the answer, its scores, the genes, maps and costs."""

import csv
import datetime
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import h5py
import jinja2
import numpy as np
import yaml
from cellferry import figures
from cellferry.benchmarks import costs, read_table
from cellferry.counted import LabelCounts, count_labels
from cellferry.files import complete
from cellferry.intensities import RAW
from cellferry.latents import count_cells, read_latents, read_rows, strings
from cellferry.logs import logged
from cellferry.needs import MAX_MAP_CELLS
from cellferry.plan import expected_jobs
from cellferry.remarks import remarks
from cellferry.text import duration
from cellferry.versions import versions

# Beside the package: snakemake runs a copy of this script from another folder.
TEMPLATE = Path(figures.__file__).parent / "report.html.j2"
UNLIMITED_MB = 10**6
MOST_LOSING_NAMED = 3
PACKAGES = ["snakemake", "scvi-tools", "torch", "annbatch", "anndata", "scanpy", "xgboost", "scikit-learn"]
PACKAGES += ["umap-learn", "numpy", "scipy", "pandas", "pyarrow"]


def report(
    *,
    evaluations: list[str],
    gene_loss: list[str],
    common: Sequence[str] = (),
    rules: str,
    left_out: str | None,
    labels: str,
    predictions: list[str],
    mapped: list[str],
    inspected: list[str],
    datasets: str,
    genes: str,
    history: str,
    panel: str | None = None,
    mappings: Sequence[str] = (),
    benchmarks: str,
    logs: str,
    page: str,
    references: list[str],
    queries: list[str],
    config: dict,
    seed: int,
) -> None:
    """Write the page.

    Parameters
    ----------
    evaluations, predictions
        One file per part, named `{part}.json` and `{part}.parquet`.
    gene_loss
        What predict_gene_loss says of queries that may lack genes, one file `{query}/gene_loss.json` each.
    common
        Where the model is of others: counts of the queries, which tell what of its genes they have.
    rules
        What calibrate_classifier learned.
    left_out
        What became of the cells of each label when the reference was without it, if that was tried.
    labels
        What split_reference says about the reference's labels.
    mapped
        The chunks of all parts, in order, named `{part}/{chunk}.parquet`.
    inspected
        What inspect_dataset wrote, one file per dataset; costs are predicted from it.
    datasets, genes, history
        What check_datasets, select_genes and train_reference_model report.
    panel
        Of cytometry: what compare_panels says of every channel.
    mappings
        What compare_mappings says of queries that the model was fitted to, `{query}/mappings.json` each.
    benchmarks, logs
        Folders with the benchmark tables and the logs.
    page
        The file to write.
    references, queries
        Names of the datasets; the references together are the part `reference`.
    config
        The configuration, shown at the end.
    seed
        Seed of the map.
    """
    scores = {Path(path).stem: json.loads(Path(path).read_text(encoding="utf-8")) for path in evaluations}
    counted = {Path(path).stem: count_labels(path) for path in predictions}
    answers = {query: counted[query] for query in queries}
    seen = json.loads(Path(labels).read_text(encoding="utf-8"))
    rare = {label: found["cells"] for label, found in seen["labels"].items() if not found["predictable"]}
    without = json.loads(Path(left_out).read_text(encoding="utf-8")) if left_out else {}
    losses = read_gene_loss(gene_loss)
    gene_report = json.loads(Path(genes).read_text(encoding="utf-8"))
    cofactors = gene_report.get("transformation", {}).get("cofactors", {})
    if not references:
        # An earlier run chose them, and its datasets are others, even those of the same name.
        gene_report = {key: gene_report[key] for key in ("namespace", "n_selected")} | {"datasets": {}}
    by_part: dict[str, list[str]] = {}
    for path in mapped:
        by_part.setdefault(Path(path).parent.name, []).append(path)
    predicted = {Path(path).stem: path for path in predictions}
    print("drawing the map")
    cells = map_cells(queries, by_part, predicted, seed=seed)
    colors = figures.label_colors(labels_by_size(counted.values(), cells["label"]))
    context = {
        "reference": " and ".join(references) or pretrained_name(config),
        "imported": isinstance(config["pretrained"], dict),
        "answers": answers,
        "scores": scores,
        "unseen": unseen_labels(scores),
        "rare": rare,
        "left_out": without,
        "remarks": remarks(answers, scores, gene_report, gene_loss=losses, rare=rare, left_out=without),
        "genes": gene_report,
        "gene_loss": losses,
        "panels": panels(panel, inspected, cofactors) if panel else [],
        "fit": config.get("surgery", {}).get("fit", True),
        "mappings": {
            Path(path).parent.name: json.loads(Path(path).read_text(encoding="utf-8")) for path in mappings
        },
        "measured": {Path(path).stem: measured_genes(path) for path in common},
        "rules": json.loads(Path(rules).read_text(encoding="utf-8")),
        "datasets": read_table(datasets),
        "colors": colors,
        "maps": draw_maps(cells, ["reference", *queries], colors, seed=seed),
        "confusions": {part: figures.confusion_heatmap(found["confusion"]) for part, found in scores.items()},
        "confidence": figures.confidence_curve(
            {part: found["confidence"] for part, found in scores.items()},
            {part: found["forced"]["ece"] for part, found in scores.items()},
        )
        if scores
        else None,
        "training_curve": training_curve(history),
        "costs": with_predictions(
            costs(benchmarks, logs), inspected, config, seen if config.get("pretrained") else None
        ),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "limits": config.get("prediction", {}),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"percent": percent, "duration": duration, "count": count}
    with complete(page) as path:
        path.write_text(environment.get_template(TEMPLATE.name).render(context), encoding="utf-8")


def read_gene_loss(paths: list[str]) -> dict[str, dict]:
    """What predict_gene_loss says, by query; `worst` holds the labels that lose most."""
    losses = {Path(path).parent.name: json.loads(Path(path).read_text(encoding="utf-8")) for path in paths}
    for loss in losses.values():
        fall = {label: entry["f1_without"] - entry["f1"] for label, entry in loss["labels"].items()}
        worst = sorted((label for label in fall if fall[label] < 0), key=fall.get)[:MOST_LOSING_NAMED]
        loss["worst"] = [(label, loss["labels"][label]) for label in worst]
    return losses


def panels(panel: str, inspected: list[str], cofactors: dict[str, list[float]]) -> list[dict]:
    """Of each dataset of cytometry its kind of values, their cofactors, and its channels by use."""
    uses: dict[str, dict[str, list[str]]] = {}
    for row in read_table(panel):
        by_use = uses.setdefault(row["dataset"], {})
        by_use.setdefault(row["use"], []).append(row["marker"] or f"{row['channel']} ({row['kind']})")
    rows = []
    for path in inspected:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
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


def with_predictions(
    costs: list[dict], inspected: list[str], config: dict, trained: dict | None
) -> list[dict]:
    """Costs with the memory (MB) that was predicted for the largest job of each rule; None where none was."""
    found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in inspected]
    jobs = list(expected_jobs(config, found, trained))
    for cost in costs:
        mem_mb = int(cost["mem_mb"] or UNLIMITED_MB)
        peaks = [job.peak_mb(mem_mb) for job in jobs if job.rule == cost["rule"]]
        cost["predicted"] = max(peaks, default=None)
    return costs


def map_cells(
    queries: list[str], by_part: dict[str, list[str]], predicted: dict[str, str], *, seed: int
) -> dict[str, np.ndarray]:
    """A sketch of at most 10,000 cells, as many of each dataset, as columns by name.

    Columns: `latents` (cells × L), `dataset`, `label`, `probability`. Reference cells have their
    own label and no probability (NaN).
    """
    rng = np.random.default_rng(seed)
    parts = ["reference", *queries]
    found: dict[str, list[np.ndarray]] = {"latents": [], "dataset": [], "label": [], "probability": []}
    for part in parts:
        n_cells = count_cells(by_part[part])
        n_drawn = min(n_cells, MAX_MAP_CELLS // len(parts))
        rows = np.sort(rng.choice(n_cells, n_drawn, replace=False, shuffle=False))
        if part == "reference":
            label = strings(read_rows(by_part[part], ["label"], rows)["label"])
            probability = np.full(len(rows), np.nan, dtype=np.float32)
        else:
            answers = read_rows([predicted[part]], ["label", "probability"], rows)
            label, probability = strings(answers["label"]), answers["probability"].to_numpy()
        found["latents"].append(read_latents(by_part[part], rows))
        found["dataset"].append(np.full(len(rows), part, dtype=object))
        found["label"].append(label)
        found["probability"].append(probability)
    return {key: np.concatenate(arrays) for key, arrays in found.items()}


def labels_by_size(counted: list[LabelCounts], map_labels: np.ndarray) -> list[str]:
    """All labels, those of most query cells first; then those of the reference alone, by name."""
    sizes: dict[str, int] = dict.fromkeys(sorted({label for label in map_labels if label is not None}), 0)
    for answer in counted:
        for entry in answer.labels:
            sizes[entry["label"]] = sizes.get(entry["label"], 0) + entry["cells"]
    return sorted(sizes, key=lambda label: -sizes[label])


def draw_maps(
    cells: dict[str, np.ndarray], names: list[str], colors: dict[str, str], *, seed: int
) -> dict[str, str] | None:
    """The three maps as images; None where there are too few cells for one."""
    n_cells = len(cells["latents"])
    if n_cells < 10:
        return None
    embedding = embed(cells["latents"], seed)
    return {
        "dataset": figures.map_by_dataset(embedding, cells["dataset"], names),
        "label": figures.map_by_label(embedding, cells["label"], colors),
        "probability": figures.map_by_probability(embedding, cells["probability"]),
    }


def embed(latents: np.ndarray, seed: int) -> np.ndarray:
    """UMAP of latents: cells × 2."""
    # Late: numba's compiler takes seconds and hundreds of MB.
    from umap import UMAP

    n_neighbors = min(15, len(latents) - 1)
    return UMAP(n_neighbors=n_neighbors, init="pca", random_state=seed, n_jobs=1).fit_transform(latents)


def training_curve(history: str) -> str | None:
    """The loss per epoch as an image; None where the model left no history."""
    with open(history, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = {}
    for column, name in {"train_loss": "training", "validation_loss": "validation"}.items():
        points = [(float(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
        points = [point for point in points if np.isfinite(point[1])]
        if points:
            losses[name] = tuple(zip(*points, strict=True))
    return figures.training_curve(losses) if losses else None


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


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        report(
            evaluations=snakemake.input.evaluations,
            gene_loss=snakemake.input.gene_loss,
            common=snakemake.input.common,
            rules=snakemake.input.rules,
            left_out=snakemake.input.get("left_out"),
            labels=snakemake.input.labels,
            predictions=snakemake.input.predictions,
            mapped=snakemake.input.mapped,
            inspected=snakemake.input.inspected,
            datasets=snakemake.input.datasets,
            genes=snakemake.input.genes,
            history=snakemake.input.history,
            panel=snakemake.input.panel or None,
            mappings=snakemake.input.mappings,
            benchmarks=snakemake.params.benchmarks,
            logs=snakemake.params.logs,
            page=snakemake.output.report,
            references=snakemake.params.references,
            queries=snakemake.params.queries,
            config=snakemake.params.config,
            seed=snakemake.params.seed,
        )
