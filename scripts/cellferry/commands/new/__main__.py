"""Write a configuration for given files: `make new NAME=kidney REFERENCE=a.h5ad QUERY=b.h5ad`.

Detected values are filled in, with their reasons as comments; existing files are not overwritten. REFERENCE
can be a packed reference (`NAME-VERSION.cellferry.zip`).
"""

import argparse
import re
import sys
from pathlib import Path

from ...core.atomic import complete
from ...core.problems import Problem
from ...core.project import IS_INSTALLED
from ...core.text import printable
from ...errors import InputError
from ...labels.columns import Choice
from ..ending import fail
from .column_choice import choose
from .config_text import PackedReference, check_as_meant, config_text, to_choose_from
from .discovery import Entry, datasets_of, preview
from .problems import problems_and_warnings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def new(
    name: str,
    references: str,
    queries: str,
    *,
    label: str,
    batch: str,
    folder: Path,
    force: bool,
    as_it_is: bool = False,
) -> bool:
    """Write `folder/NAME.yaml`, and print detected values and next commands.

    With `as_it_is`, the model of a packed reference is not fitted to the queries.

    Returns
    -------
    True if it can be run without changes.

    Raises
    ------
    InputError
        If the configuration cannot be written.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"NAME={name}: names contain letters, digits, '-', '_' and '.'; give one, such as NAME=kidney"
        )
    path = folder / f"{name}.yaml"
    if path.exists() and not force:
        raise InputError(f"{path} exists; choose another NAME, or add FORCE=1 to overwrite it")
    packed = PackedReference.of(references, as_it_is=as_it_is)
    by_role = {"REFERENCE": [] if packed else datasets_of(references), "QUERY": datasets_of(queries)}
    for key, paths in by_role.items():
        if not paths and not (packed and key == "REFERENCE"):
            raise InputError(f"{key}= is missing; name a file or folder, such as {key}=/data/atlas.h5ad")
    modality, entries, doubts = preview(*by_role.values())
    choose(entries, label, batch)
    text, meant = config_text(name, modality, entries, packed)
    with complete(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        check_as_meant(temporary, meant)
        problems, warnings = problems_and_warnings(text)
    warnings += doubts
    print(summary(path, entries, problems, warnings, runs_next=as_it_is))
    return not problems


def summary(
    path: Path, entries: list[Entry], problems: list[Problem], warnings: list[str], *, runs_next: bool = False
) -> str:
    """The printed summary: detected values, problems, and next commands unless it `runs_next`."""
    lines = []
    for entry in entries:
        header = entry.dataset.header
        lines.append(
            f"{entry.role} {entry.name}: {header.format}, {header.n_cells:,} cells x {header.n_genes:,}"
        )
        lines += [f"  label  {_said(entry.label)}", f"  batch  {_said(entry.batch)}"]
    lines += [f"check: {warning}" for warning in warnings]
    unlabeled = [entry for entry in entries if entry.role == "reference" and entry.label is None]
    if unlabeled:
        problems = [
            Problem(
                "",
                f"{entry.path} has no column that looks like labels",
                f"fill in a column at `label:` of {entry.name}, or give LABEL=COLUMN. "
                f"{to_choose_from(entry)}",
            )
            for entry in unlabeled
        ]
    lines = list(map(printable, lines))
    look = f"snakemake --dry-run --configfile {path}" if IS_INSTALLED else f"make plan CONFIG={path}"
    if problems:
        each = (f"  - {printable(str(problem))}" for problem in problems)
        lines += [f"Wrote {path}, which cannot be run yet:", *each]
        lines.append(f"After that:  {look}")
        return "\n".join(lines)
    if runs_next:
        return "\n".join([*lines, f"Wrote {path}"])
    if IS_INSTALLED:  # for a workflow that takes cellferry as a module, wherever that is
        return "\n".join([*lines, f"Wrote {path}. Read it, then:  {look}"])
    run = f"snakemake --profile profiles/slurm --configfile {path}"
    return "\n".join(
        [
            *lines,
            f"Wrote {path}. Read it, then:",
            f"  {look}",
            "      jobs, memory, disk and time of every rule",
            f"  .venv/bin/{run} --dry-run",
            "      lists the jobs",
            f"  .venv/bin/{run}",
            "      runs on SLURM; on this machine with --profile profiles/local",
        ]
    )


def _said(choice: Choice | None) -> str:
    if choice is None:
        return "none found"
    column = choice.column
    return f"{column.name} ({len(column.values)} values, {choice.why})"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make new", description=__doc__)
    for key in ("name", "reference", "query", "label", "batch"):
        parser.add_argument(f"--{key}", default="")
    parser.add_argument("--folder", type=Path, default=Path("config"))
    parser.add_argument("--force", default="", nargs="?", const="1")
    parser.add_argument("--as-it-is", action="store_true")
    given = parser.parse_args(arguments)
    try:
        ready = new(
            given.name,
            given.reference,
            given.query,
            label=given.label,
            batch=given.batch,
            folder=given.folder,
            force=given.force not in ("", "0"),
            as_it_is=given.as_it_is,
        )
    except InputError as error:
        return fail("make new", error)
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
