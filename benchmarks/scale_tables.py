"""The tables of benchmarks/scale.md and the picture docs/memory.png, from benchmarks/scale.tsv."""

import copy
import textwrap
from collections.abc import Sequence
from functools import partial

import pandas as pd
from cellferry.artifacts.inspection import Inspection
from cellferry.config.schema import fill_defaults
from cellferry.resources.expected_jobs import expected_jobs
from measuring import MIB, ROOT, TABLE, read_rows

FAR = 10_000_000
"""Query cells that the tables extrapolate to."""
REFERENCE_SHARE = 5
CHUNKED = ("map_query", "predict_labels")
DATA_RULES = ("convert_to_chunks", "merge_h5ad", "select_genes", "subset_common_genes", "subset_reference")
# Names of the compared parts.
BARE = "training: bare torch loop on preloaded minibatches"
EPOCH = "training: the workflow's epoch, 5 % more cells watched"
# In the picture: way, its name, color and marker.
OTHERS = [
    ("anndata: read all chunks, concat, write", "anndata.concat in memory, query alone", "#c44e52", "s"),
    (
        "notebook: read both, concat, select genes, scVI one epoch",
        "notebook: concat and scVI",
        "#8c2d30",
        "D",
    ),
    ("anndata: concat_on_disk", "anndata concat_on_disk", "#dd8452", "^"),
]

INTRODUCTION = """# Memory and time against cells

Simulated counts ([simulated_counts.py](simulated_counts.py): 20,000 genes of which a cell expresses a
tenth, 20 labels, 5 batches in each dataset): a query in {query} chunks, and a reference with a fifth as
many cells in {reference}. The workflow runs with `profiles/local`, one job at a time, on one core; settings
other than the defaults: {settings}. All numbers are in [scale.tsv](scale.tsv).

"""
MEMORY = """## Peak memory of the jobs

MiB of a rule's largest job, as counted by the kernel (resident; the last line of each log). *Requested* is
`mem_mb`. The slopes are bytes per cell that one job works on (of a query, of a reference, or both), from
the first to the last number of cells and over the last step. Jobs with a sketch of the cells grow until the
sketch is full, and `train_reference_model` until its loader has read all parts of the store, but not
further (epochs over 950,000 cells were tested). `inspect_dataset` and `select_genes` with 1,000,000 cells
were measured again after a reduction (331 and 1,251 before).

"""
PREDICTED = """## Predicted and used

MiB predicted by `make plan` for the largest job of each rule, over MiB used. The inputs of the prediction
are the numbers of cells, genes, labels and stored values, as `inspect_dataset` reads them from a file's
header. The last column is the prediction for ten million query cells and a reference of two million.

"""
TIME = """## Time on one core

Seconds are the sum of a rule's jobs, with the start of Python and its libraries. *cells/s* and the columns to
its right are of the run with {last:,} query cells. CPU: user and system seconds over wall seconds. Read,
written: data of system calls, cached or not, with some 40 MB of Python's own per job. Hours for {far:,} query
cells are extrapolated linearly from the last step.

"""
FILES = """## The same files in other ways

Each way is a separate process on the same core and files, which were read once immediately before. Seconds
are without the start of Python. *× cat* is the ratio to `cat chunks/*.h5ad > copy`, which reads and writes
every byte of the chunks once.

"""
SPEEDS = """## Cells per second on one core

Parts of training, mapping and prediction, without one-time starts (loading models, setting up trainers). If
wall and CPU seconds differ, the part waited for the disk or for other work on the machine.

"""


def write_tables(chunks: dict[str, int], settings: dict[str, dict]) -> None:
    """Write benchmarks/scale.md; `chunks` and `settings` are those of the workflow's run."""
    rows = read_rows()
    if rows.empty:
        return
    changed = [f"{part}.{key} {value}" for part, keys in settings.items() for key, value in keys.items()]
    introduction = _wrapped(INTRODUCTION.format(settings=", ".join(changed), **chunks))
    parts = [introduction, _machines(rows)]
    if (rows["section"] == "chain").any():
        parts += [_memory(rows), _predicted(rows, chunks, settings), _time(rows)]
    if (rows["section"] == "files").any():
        parts.append(FILES + "".join(_files(rows)))
    if (rows["section"] == "speeds").any():
        parts.append(SPEEDS + _speeds(rows))
    TABLE.with_suffix(".md").write_text("".join(parts).rstrip() + "\n", encoding="utf-8")


def _predicted(rows: pd.DataFrame, chunks: dict[str, int], settings: dict[str, dict]) -> str:
    chain = rows.query("section == 'chain' and name != 'whole run'")
    used = chain.groupby(["ladder", "name"])["peak_mb"].max()
    asked = chain.groupby("name")["mem_mb"].max()
    ladder = sorted(chain["ladder"].unique())
    lines: dict[str, list[str]] = {}
    for cells in ladder:
        jobs = list(expected_jobs(*_as_inspected(cells, chunks, settings)))
        for rule in dict.fromkeys(job.rule for job in jobs):
            peak = max(job.peak_mb(int(asked[rule])) for job in jobs if job.rule == rule)
            found = used[cells, rule]
            lines.setdefault(rule, [f"`{rule}`"]).extend([f"{peak:,} / {found:,.0f}", f"{peak / found:.2f}"])
    far = list(expected_jobs(*_as_inspected(FAR, chunks, settings)))
    for rule, line in lines.items():
        line.append(f"{max(job.peak_mb(int(asked[rule])) for job in far if job.rule == rule):,}")
    header = ["rule", *(text for cells in ladder for text in (f"{cells:,}", "ratio")), f"{FAR:,}"]
    return PREDICTED + _markdown(header, list(lines.values()))


def _as_inspected(
    cells: int, chunks: dict[str, int], settings: dict[str, dict]
) -> tuple[dict, list[Inspection]]:
    """Configuration of a run, and the results of `inspect_dataset` for its files."""
    sizes = {"query": cells, "reference": cells // REFERENCE_SHARE}
    datasets = {name: {"role": name, "path": "x", "label": "x", "chunks": chunks[name]} for name in sizes}
    config = {"datasets": datasets, **copy.deepcopy(settings)}
    fill_defaults(config)
    about = {"genes": 20_000, "values_per_cell": 2000.0, "in_order": True, "n_labels": 20, "label": "x"}
    inspected = [
        Inspection(dataset=name, role=name, path="", cells=size, cells_kept=size, **about)
        for name, size in sizes.items()
    ]
    return config, inspected


def _wrapped(text: str) -> str:
    """Paragraphs, wrapped."""
    fill = partial(textwrap.fill, width=108, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join(fill(paragraph) for paragraph in text.strip().split("\n\n")) + "\n\n"


def _machines(rows: pd.DataFrame) -> str:
    cells = " ".join(map(str, sorted(rows["ladder"].unique())))
    found = rows.query("section == 'machine'")["outcome"].drop_duplicates()
    measured = "\n".join(f"- {machine}" for machine in found)
    return f'Made by `make scale CELLS="{cells}"` on:\n\n{measured}\n\n'


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    table = [header, ["---", *["---:"] * (len(header) - 1)], *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in table) + "\n"


def _number(value: float | None, form: str = ",.0f") -> str:
    """A number, or a dash if it is missing."""
    return "–" if value is None or pd.isna(value) else format(value, form)


def _seconds(value: float) -> str:
    return _number(value, ",.0f" if not pd.isna(value) and value >= 20 else ".1f" if value >= 1 else ".3f")


def _groups(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Measurements by rule, dataset and number of query cells, in the order of the first run."""
    chain = rows.query("section == 'chain' and name != 'whole run'")
    order = {"inspect_dataset": 0, "check_datasets": 1, "convert_to_chunks": 2, "merge_h5ad": 3}
    order |= {"split_reference": 4, "select_genes": 5, "subset_reference": 6, "subset_common_genes": 7}
    order |= {"shuffle_reference": 8, "train_reference_model": 9, "fit_query_model": 10, "map_query": 11}
    order |= {"train_classifier": 12, "predict_labels": 13, "gather_predictions": 14}
    found = [
        (rule, of, group.set_index("ladder").sort_index())
        for (rule, of), group in chain.groupby(["name", "of"], sort=False)
    ]
    return sorted(found, key=lambda item: (order.get(item[0], len(order)), item[0], item[1]))


def _slope(group: pd.DataFrame, value: str, by: str, first: int, last: int = -1) -> float | None:
    """Change of a value per cell between two runs; None for a single run."""
    if len(group) < 2:
        return None
    cells = float(group[by].iloc[last] - group[by].iloc[first])
    return float(group[value].iloc[last] - group[value].iloc[first]) / cells if cells else None


def _far(group: pd.DataFrame, value: str, by: str) -> float | None:
    """The value at `FAR` query cells, extrapolated from the last step; at least the last value."""
    slope = _slope(group, value, by, -2)
    if slope is None:
        return None
    more = float(group[by].iloc[-1]) * (FAR / group.index[-1] - 1)
    return float(group[value].iloc[-1]) + max(0.0, slope) * more


def _memory(rows: pd.DataFrame) -> str:
    ladders = sorted(rows.query("section == 'chain'")["ladder"].unique())
    header = [
        "rule, dataset",
        "requested",
        *(f"{n:,}" for n in ladders),
        "bytes per cell",
        "last step",
    ]
    lines = []
    for rule, of, group in _groups(rows):
        slopes = [_slope(group, "peak_mb", "cells_per_job", first) for first in (0, -2)]
        lines.append(
            [
                f"`{rule}`, {of}",
                _number(group["mem_mb"].max()),
                *(_number(group["peak_mb"].get(n)) for n in ladders),
                *(_number(None if slope is None else slope * MIB) for slope in slopes),
            ]
        )
    return MEMORY + _markdown(header, lines)


def _time(rows: pd.DataFrame) -> str:
    chain = rows.query("section == 'chain'")
    ladders = sorted(chain["ladder"].unique())
    header = ["rule, dataset", "jobs", *(f"{n:,}: s" for n in ladders)]
    header += ["cells/s", "longest job, s", "CPU", "MB read", "MB written", f"{FAR:,}: h", "longest job, h"]
    lines = []
    for rule, of, group in _groups(rows):
        last = group.iloc[-1]
        far = [_far(group, *columns) for columns in (("seconds", "cells"), ("longest", "cells_per_job"))]
        lines.append(
            [
                f"`{rule}`, {of}",
                _number(last["jobs"]),
                *(_seconds(group["seconds"].get(n)) for n in ladders),
                _number(last["cells"] / last["seconds"]),
                _seconds(last["longest"]),
                _number(last["cpu_seconds"] / last["seconds"], ".2f"),
                _number(last["read_mb"]),
                _number(last["written_mb"]),
                *(_number(None if hours is None else hours / 3600, ".2f") for hours in far),
            ]
        )
    text = TIME.format(last=ladders[-1], far=FAR)
    whole = chain.query("name == 'whole run'").set_index("ladder")
    if whole.empty:
        return text + _markdown(header, lines)
    last = whole.iloc[-1]
    seconds = [_seconds(whole["seconds"].get(n)) for n in ladders]
    blank = ["", "", _number(last["cpu_seconds"] / last["seconds"], ".2f"), "", "", "", ""]
    lines.append(["the whole run, with snakemake", _number(last["jobs"]), *seconds, *blank])
    gigabytes = f"{last['written_mb'] / 1e3:,.1f} GB"
    on_disk = f"With {whole.index[-1]:,} query cells the folder has {gigabytes} at the end.\n\n"
    return text + _markdown(header, lines) + on_disk


def _files(rows: pd.DataFrame) -> list[str]:
    tables = []
    for ladder, group in rows.query("section == 'files'").groupby("ladder"):
        cat = group.loc[group["name"] == "cat chunks/*.h5ad > copy", "seconds"]
        header = [f"{ladder:,} query cells", "s", "× cat", "CPU s", "peak MiB", "MB read", "MB written"]
        lines = []
        for row in group.to_dict("records"):
            ended = row["outcome"] != "ok"
            lines.append(
                [
                    f"`{row['name']}`" if row["name"].startswith("cat ") else row["name"],
                    row["outcome"] if ended else _seconds(row["seconds"]),
                    "–" if ended or cat.empty else _number(row["seconds"] / cat.iloc[0], ".2f"),
                    _seconds(row["cpu_seconds"]),
                    f"{'> ' if ended else ''}{_number(row['peak_mb'])}",
                    _number(row["read_mb"]),
                    _number(row["written_mb"]),
                ]
            )
        tables.append(_markdown(header, lines))
    return tables


def _speeds(rows: pd.DataFrame) -> str:
    speeds = rows.query("section == 'speeds'")
    names = list(dict.fromkeys(speeds["name"]))
    runs = {ladder: group.set_index("name") for ladder, group in speeds.groupby("ladder")}
    columns, header, said = [], ["part"], ""
    for ladder, run in runs.items():
        cells = run["cells"].astype(float)
        wall, cpu = cells / run["seconds"], cells / run["cpu_seconds"]
        columns += [wall, cpu]
        header += [f"{ladder:,} query cells: cells/s", "cells/CPU s"]
        if BARE in run.index and EPOCH in run.index:
            longer, more = wall[BARE] / wall[EPOCH], cpu[BARE] / cpu[EPOCH]
            said += (
                f"- {ladder:,} query cells, {run['of'].iloc[0]}: an epoch takes {longer:.2f} times as long "
                f"as the bare loop over as many cells, and {more:.2f} times its CPU.\n"
            )
    lines = [[name, *(_number(column.get(name)) for column in columns)] for name in names]
    return _markdown(header, lines) + said


def draw_picture() -> None:
    """Draw docs/memory.png: peak memory against query cells."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = read_rows()
    chain = rows.query("section == 'chain' and name != 'whole run'")
    if chain.empty:
        return
    figure, axes = plt.subplots(figsize=(7, 4.4), dpi=150, layout="constrained")
    largest = chain.groupby("ladder")["peak_mb"].max()
    data = chain[chain["name"].isin(DATA_RULES)].groupby("ladder")["peak_mb"].max()
    for peaks, label, color in (
        (largest, "cellferry, its largest job", "#1f5fa8"),
        (data, "cellferry, its largest job with all genes", "#55a0d8"),
    ):
        axes.plot(peaks.index, peaks / 1024, "o-", color=color, label=label, linewidth=2)
    files = rows.query("section == 'files'")
    for way, label, color, marker in OTHERS:
        found = files[files["name"] == way]
        fits = found[found["outcome"] == "ok"].sort_values("ladder")
        axes.plot(
            fits["ladder"], fits["peak_mb"] / 1024, f"{marker}--", color=color, label=label, markersize=5
        )
        ended = found[found["outcome"] == "out of memory"]
        axes.plot(ended["ladder"], ended["peak_mb"] / 1024, "x", color=color, markersize=10, mew=2.5)
        for cells, peak in zip(ended["ladder"], ended["peak_mb"], strict=True):
            axes.annotate(
                "out of memory", (cells, peak / 1024), (4, 6), textcoords="offset points", fontsize=8
            )
    axes.set(xlabel="query cells (the reference has a fifth of them)", ylabel="peak memory, GiB")
    axes.set_xscale("log")
    axes.set_xticks(largest.index, [f"{cells:,}" for cells in largest.index])
    axes.set_xticks([], minor=True)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    # Room for the legend, above the smallest runs.
    axes.set_ylim(0.25, max(32, 2 * rows["peak_mb"].max() / 1024))
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(ROOT / "docs" / "memory.png")
    plt.close(figure)
