"""What the jobs cost, from the tables that Snakemake's `benchmark` directive leaves."""

import ast
import csv
from pathlib import Path


def costs(folder: str | Path) -> list[dict]:
    """Cost per rule, the longest first.

    Parameters
    ----------
    folder
        Where the tables are: `{folder}/{rule}/**/*.tsv`, a header and one row per repetition.

    Returns
    -------
    One dict per rule: `rule`, `jobs`, `seconds` (wall time, all jobs), `longest` (seconds of the longest
    job), `max_rss` (MB, the largest of all jobs) and `mem_mb` (asked for; None unless Snakemake ran
    with `--benchmark-extended`). `max_rss` is None where jobs were too short to be measured.
    """
    by_rule: dict[str, list[dict]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        rows = read_table(path)
        if rows and "max_rss" in rows[0]:
            by_rule.setdefault(path.relative_to(folder).parts[0], []).extend(rows)
    found = []
    for rule, rows in by_rule.items():
        seconds = [number for row in rows if (number := _number(row.get("s"))) is not None]
        memory = [number for row in rows if (number := _number(row.get("max_rss")))]
        asked = [number for row in rows if (number := _asked(row.get("resources"))) is not None]
        found.append(
            {
                "rule": rule,
                "jobs": len(rows),
                "seconds": sum(seconds),
                "longest": max(seconds, default=0.0),
                "max_rss": max(memory, default=None),
                "mem_mb": max(asked, default=None),
            }
        )
    return sorted(found, key=lambda cost: -cost["seconds"])


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table by column; empty where the file is."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _number(text: str | None) -> float | None:
    """A number of a table; None for `NA`, `-` and what else stands where nothing was measured."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _asked(resources: str | None) -> float | None:
    """`mem_mb` of what Snakemake writes as a Python dict."""
    try:
        return _number(ast.literal_eval(resources or "{}").get("mem_mb"))
    except (ValueError, SyntaxError, AttributeError):
        return None
