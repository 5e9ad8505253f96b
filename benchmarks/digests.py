"""Time of recording and comparing results, beside the time of the jobs.

    python benchmarks/scale.py --only chain --keep --cells 1000000 --folder /scratch/scale
    python benchmarks/digests.py --run /scratch/scale/1000000

Writes benchmarks/digests.md.
"""

import argparse
import base64
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from cellferry.core import digests
from measuring import ROOT, machine

PAGE = ROOT / "benchmarks" / "digests.md"
INTRODUCTION = """# Recording and comparing results

Every job compares its inputs with their records and records its outputs
([trust.md](../docs/trust.md)). CPU seconds of both beside those of the jobs, in the run of
[scale.md](scale.md) with {cells:,} query cells.

Command: `python benchmarks/digests.py --run FOLDER`. Machine: {machine}.

| rule | jobs, CPU s | comparing and recording, CPU s | share |
| --- | ---: | ---: | ---: |
"""


def jobs_of(folder: Path) -> dict[str, list[tuple[list[str], list[str]]]]:
    """Inputs and outputs of the jobs of each rule, from Snakemake's metadata."""
    inputs, outputs = {}, defaultdict(list)
    metadata = folder / ".snakemake" / "metadata"
    for path in filter(Path.is_file, metadata.rglob("*")):
        known = json.loads(path.read_text(encoding="utf-8"))
        job = (known["rule"], *known["log"])
        inputs[job] = known["input"]
        outputs[job].append(
            base64.b64decode("".join(path.relative_to(metadata).parts).replace("@", "")).decode()
        )
    jobs = defaultdict(list)
    for job in inputs:
        jobs[job[0]].append((inputs[job], outputs[job]))
    return jobs


def seconds_by_rule(folder: Path) -> dict[str, float]:
    """CPU seconds of all jobs of a rule."""
    seconds = defaultdict(float)
    for line in (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines():
        job = json.loads(line)
        seconds[Path(job["log"]).parts[1]] += job["cpu_seconds"]
    return seconds


def spent(jobs: list[tuple[list[str], list[str]]]) -> float:
    """CPU seconds of comparing and recording for a rule's jobs."""
    start = time.process_time()
    for inputs, outputs in jobs:
        digests.record_of.cache_clear()
        digests.check_inputs(inputs, [digests.RESULTS])
        digests.record_outputs(outputs, inputs)
    return time.process_time() - start


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run of scale.py, kept")
    folder = parser.parse_args().run.resolve()
    os.chdir(folder)
    jobs, seconds = jobs_of(folder), seconds_by_rule(folder)
    for rule in jobs:  # as this version records them
        for _, outputs in jobs[rule]:
            digests.record_outputs(outputs, [])
    rows = {rule: (seconds[rule], spent(jobs[rule])) for rule in jobs if rule in seconds}
    text = INTRODUCTION.format(cells=int(folder.name), machine=machine())
    for rule, (taken, own) in sorted(rows.items(), key=lambda row: -row[1][0]):
        text += f"| `{rule}` | {taken:.1f} | {own:.2f} | {own / taken:.1%} |\n"
    taken, own = (sum(column) for column in zip(*rows.values(), strict=True))
    PAGE.write_text(f"{text}| all | {taken:.1f} | {own:.2f} | {own / taken:.1%} |\n", encoding="utf-8")


if __name__ == "__main__":
    main()
