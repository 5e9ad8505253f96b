"""One line on changes since the last results, repeated jobs, and kept stages.

Imported by the Snakefile: standard library only.
"""

import ast
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .provenance import PARAM, has_provenance

STAGES = {
    "chunks": ("convert_to_chunks",),
    "genes": ("select_genes", "select_markers"),
    "model": ("train_reference_model", "import_reference"),
    "latents": ("map_query",),
    "classifiers": ("train_classifier",),
    "labels": ("predict_labels",),
}
"""Stages of a run, and the rules that make their results."""

FOLLOWS_FROM_OTHERS = ("names", "references", "gene_sources", "queries", "chunks", "labeled_only")
"""Params that differ only together with a dataset or key that is listed already."""

OWN, CONFIGURATION, CAME_OR_WENT = range(3)
"""Kinds of changes: in a job's dependencies, in the report's configuration, in the set of files."""

OTHERWISE = "no key and no file of yours, but a result, its record or an environment"

MAX_CHANGES = 6
MAX_VALUE_LENGTH = 40


def describe_changes(dag: Any, persistence: Any, config: dict[str, Any]) -> str | None:
    """Describe changes, repeated jobs and kept stages; None if no job is repeated.

    Parameters
    ----------
    dag, persistence
        Snakemake's DAG and its stored records.
    config
        The configuration, with defaults.
    """
    in_order = [job for level in dag.toposorted() for job in level if job.output and has_provenance(job)]
    needed = set(dag.needrun_jobs(exclude_finished=False)).intersection(in_order)
    again = [job for job in in_order if job in needed]
    distinct = dict.fromkeys(change for job in again for change in _changes_of(job, persistence, config))
    # Jobs of a new dataset repeat nothing.
    made = {job.rule.name for job in again if any(map(persistence.metadata, job.output))}
    if not distinct and not made:
        return None
    # Most changes come from jobs, the others from the report (it contains the configuration). Added and
    # removed files are listed only without other changes.
    first_kind = min((kind for kind, _ in distinct), default=None)
    changes = [text for kind, text in distinct if kind == first_kind]
    shown = changes[:MAX_CHANGES] or [OTHERWISE]
    if len(changes) > MAX_CHANGES:
        shown.append(f"{len(changes) - MAX_CHANGES} more")
    firsts = dict.fromkeys(job.rule.name for job in again if needed.isdisjoint(dag.dependencies[job]))
    follows = " and all after" if len({job.rule.name for job in again}) > len(firsts) else ""
    jobs = f"{len(again)} of {len(in_order)} jobs"
    there = {job.rule.name for job in in_order}
    kept = [stage for stage, rules in STAGES.items() if there.intersection(rules) and made.isdisjoint(rules)]
    return (
        f"Changed: {', '.join(shown)}. Made again: {', '.join(firsts)}{follows} ({jobs}). "
        f"Kept: {', '.join(kept) or 'nothing'}."
    )


def _changes_of(job: Any, persistence: Any, config: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Differences between a job and the provenance of its outputs: kind and text of each."""
    before, now = _recorded(job, persistence), job.params[PARAM]["own"]
    for path, old, new in _differences(before, now) if before else ():
        came_or_went = old is None or new is None
        if path[0] == "method":
            yield OWN, f"the method of {job.rule.name} ({old} → {new})"
        elif path[0] == "files":
            what = "new" if old is None else "gone" if new is None else "another file"
            yield CAME_OR_WENT if came_or_went else OWN, f"{path[1]} ({what})"
        elif path[:2] == ("config", "datasets") and len(path) == 3:
            yield OWN, f"datasets.{path[2]} ({'new' if old is None else 'taken out'})"
        elif path[0] not in FOLLOWS_FROM_OTHERS and not (path[0] == "gene_ids" and came_or_went):
            values = " → ".join(filter(None, map(_short, (old, new))))
            kind = CONFIGURATION if path[0] == "config" else OWN
            yield kind, f"{_key(path, new, job, config)} ({values or 'other values'})"


def _recorded(job: Any, persistence: Any) -> dict[str, Any] | None:
    for path in job.output:
        record = persistence.metadata(path)
        if record and record.rule != job.rule.name:
            continue  # the report lists the key that selected another rule
        for param in (record.params or []) if record else []:
            if param.startswith("{'own': "):
                with suppress(ValueError):  # a number such as nan
                    return ast.literal_eval(param)["own"]
    return None


def _differences(
    old: Any, new: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Paths at which two nested dicts differ, with both values; None for a missing value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), (*path, str(key)))
    elif old != new:
        yield path, old, new


def _key(path: tuple[str, ...], value: Any, job: Any, config: dict[str, Any]) -> str:
    """Configuration key of a path in a job's params."""
    first, *rest = path
    if path[:2] == ("dataset", "markers"):
        return ".".join(["cytometry", *rest])
    if first == "dataset":
        return ".".join(["datasets", job.wildcards.dataset, *rest])
    if first == "config":
        return ".".join(rest)
    if first == "gene_ids" and rest:
        return f"datasets.{rest[0]}.gene_id"
    if first in ("gene_id", "max_cells"):
        return f"datasets.{job.wildcards.query}.{first}"
    if first in config:
        return ".".join(path)
    sections = [key for key, section in config.items() if isinstance(section, dict) and first in section]
    if len(sections) > 1:
        sections = [key for key in sections if config[key][first] == value]
    return ".".join([*(sections if len(sections) == 1 else []), *path])


def _short(value: Any) -> str:
    """A value as text; empty if it is too long."""
    text = "none" if value is None else str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else ""
