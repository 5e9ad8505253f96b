"""Time and memory of the start of each rule's script; writes benchmarks/starts.md.

    python benchmarks/starts.py --against REVISION    # with the same of an earlier revision, minutes

A script is imported in a separate process: Python, the libraries it imports and the package. Libraries that a
script imports only when it uses them are not counted, but listed.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, machine, run_measured

PAGE = ROOT / "benchmarks" / "starts.md"
REPEATS = 3
LIMIT_MB = 4000
LATE = {
    "fit_query_model": "torch and scvi-tools, if the query has a new batch",
    "train_classifier": "scikit-learn",
}
"""Libraries that are imported on use."""


def starts(folder: Path) -> dict[str, tuple[float, int]]:
    """CPU seconds and peak memory (MB) by script, the lowest of some starts."""
    found = {}
    for script in sorted((folder / "scripts").glob("*.py")):
        name = script.stem
        program = f"import sys; sys.path.insert(0, {str(script.parent)!r}); import {name}"
        # The first start compiles Python's files.
        runs = [run_measured([sys.executable, "-c", program], limit_mb=LIMIT_MB) for _ in range(REPEATS + 1)][
            1:
        ]
        found[name] = min(run["cpu_seconds"] for run in runs), min(run["peak_mb"] for run in runs)
    return found


def page(now: dict, before: dict, revision: str | None) -> str:
    """The page: a line per script, the slowest first, beside the earlier revision's."""
    head = ["script", "CPU s", "MB"] + (["CPU s before", "MB before"] if before else [])
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name in sorted(now, key=lambda name: -now[name][0]):
        seconds, megabytes = now[name]
        line = [f"`{name}`", f"{seconds:.2f}", f"{megabytes:,}"]
        if before:
            line += [f"{before[name][0]:.2f}", f"{before[name][1]:,}"] if name in before else ["–", "–"]
        lines.append(line)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    late = "".join(f"- `{name}`: {libraries}\n" for name, libraries in LATE.items())
    sums = f"All scripts once: {sum(each[0] for each in now.values()):.0f} s"
    if before:
        sums += f", before {sum(each[0] for each in before.values()):.0f} s (revision {revision})"
    return f"""# Starts

{machine()}. `python benchmarks/starts.py{f" --against {revision}" if revision else ""}`; CPU
seconds, the lowest of {REPEATS} starts.

Cost of a job before its first cell: Python, the libraries that its script imports, and the package.
Snakemake's own start is added, on a cluster twice. {sums}.

{table}

Imported later, on use:

{late}"""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="REVISION", help="measure an earlier revision too")
    options = parser.parse_args()
    before = {}
    if options.against:
        with tempfile.TemporaryDirectory() as name:
            worktree = ["git", "-C", ROOT, "worktree"]
            subprocess.run([*worktree, "add", "--quiet", "--detach", name, options.against], check=True)
            try:
                before = starts(Path(name))
            finally:
                subprocess.run([*worktree, "remove", "--force", name], check=True)
    PAGE.write_text(page(starts(ROOT), before, options.against), encoding="utf-8")


if __name__ == "__main__":
    main()
