"""Time and memory of jobs, from Snakemake's benchmark tables and the logs."""

import ast
import csv
from pathlib import Path

from ..artifacts.inspection import Inspection
from ..artifacts.labels import ReferenceLabels
from ..core.logs import peak_in
from ..resources.expected_jobs import expected_jobs

UNLIMITED_MB = 10**6


def costs(folder: str | Path, logs: str | Path) -> list[dict]:
    """Time and memory per rule, the longest first.

    Parameters
    ----------
    folder
        Folder of the tables: `{folder}/{rule}/**/*.tsv`, a header and one row per repetition.
    logs
        Folder of the logs, with the same names. Snakemake samples a job's memory every 30 seconds; a log
        ends with the kernel's peak.

    Returns
    -------
    One dict per rule: `rule`, `jobs`, `seconds` (wall time, all jobs), `longest` (seconds of the longest
    job), `used` (memory in MB, the largest of all jobs; None if nothing was measured), `mem_mb`
    (requested; None unless Snakemake ran with `--benchmark-extended`) and `cpu` (used share of the granted
    cores' time; None likewise).
    """
    by_rule: dict[str, list[dict]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        rows = read_table(path)
        if rows and "max_rss" in rows[0]:
            name = path.relative_to(folder)
            log = Path(logs) / name.with_suffix(".log")
            peak = peak_in(log.read_text(encoding="utf-8")) if log.exists() else None
            by_rule.setdefault(name.parts[0], []).extend(row | {"peak": peak} for row in rows)
    table = []
    for rule, rows in by_rule.items():
        seconds = [number for row in rows if (number := _number(row.get("s"))) is not None]
        memory = [number for row in rows for key in ("max_rss", "peak") if (number := _number(row.get(key)))]
        asked = [number for row in rows if (number := _asked(row.get("resources"))) is not None]
        granted = sum((_number(row.get("s")) or 0) * (_number(row.get("threads")) or 0) for row in rows)
        worked = sum(_number(row.get("cpu_time")) or 0 for row in rows)
        table.append(
            {
                "rule": rule,
                "jobs": len(rows),
                "seconds": sum(seconds),
                "longest": max(seconds, default=0.0),
                "used": max(memory, default=None),
                "mem_mb": max(asked, default=None),
                "cpu": worked / granted if granted else None,
            }
        )
    return sorted(table, key=lambda cost: -cost["seconds"])


def predicted_mb(
    costs: list[dict], inspected: list[Inspection], config: dict, trained: ReferenceLabels | None
) -> dict[str, float | None]:
    """Memory (MB) predicted for the largest job of each rule; None without a prediction.

    Parameters
    ----------
    costs
        Result of `costs`.
    inspected
        Inspections of all datasets.
    config
        The configuration.
    trained
        Labels of a pre-trained reference; None if the run trains one.
    """
    jobs = list(expected_jobs(config, inspected, trained))
    largest = {}
    for cost in costs:
        mem_mb = int(cost["mem_mb"] or UNLIMITED_MB)
        peaks = [job.peak_mb(mem_mb) for job in jobs if job.rule == cost["rule"]]
        largest[cost["rule"]] = max(peaks, default=None)
    return largest


def unmeasured_rules(benchmarks: str, logs: str) -> list[str]:
    """Rules with logs but without a benchmark table."""
    ran = {path.name for path in Path(logs).glob("*") if any(path.rglob("*.log"))}
    return sorted(
        ran - {path.name for path in Path(benchmarks).glob("*") if any(path.rglob("*.tsv"))} - {"report"}
    )


def read_table(path: str | Path, *, delimiter: str = "\t") -> list[dict[str, str]]:
    """Read the rows of a table by column; an empty file has no rows."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _number(text: str | None) -> float | None:
    """A number of a table; None for `NA`, `-` and other missing values."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _asked(resources: str | None) -> float | None:
    """`mem_mb` in the Python dict that Snakemake writes."""
    try:
        return _number(ast.literal_eval(resources or "{}").get("mem_mb"))
    except (ValueError, SyntaxError, AttributeError):
        return None
