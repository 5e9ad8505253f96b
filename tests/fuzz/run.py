"""Damage files for some time: `make fuzz MINUTES=60`. Prints the number of each finding.

Numbers count from a seed, the time by default. Files are read in separate processes, since a damaged one may
crash HDF5: the file of a process that crashed or did not end is a finding, too. One file again:
`python tests/fuzz/run.py --format FORMAT --number NUMBER`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "fuzz"), str(TESTS / "unit"), str(TESTS), str(TESTS.parent / "scripts")]

ROUND = 100
SECONDS = 600
"""Time limit of a round of files."""


def judge_some(name, first, n, told):
    """Judge some files in this process, and print findings; each number is first written to `told`."""
    from inputs import fuzz

    def tell(_, number):
        Path(told).write_text(str(number))

    with tempfile.TemporaryDirectory() as folder:
        found, _ = fuzz(name, range(first, first + n), Path(folder), tell)
    print("\n".join(found))


def run(name, first, n, told):
    """Judge some files in a separate process; returns findings."""
    command = [
        sys.executable,
        __file__,
        "--format",
        name,
        "--number",
        str(first),
        "--n",
        str(n),
        "--told",
        told,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [f"{name}, number {Path(told).read_text()}: no end"]
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        return [f"{name}, number {Path(told).read_text()}: ended with {done.returncode}: {last}"]
    return done.stdout.split("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) * 1000)
    parser.add_argument("--format")
    parser.add_argument("--number", type=int)
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--told", default="/dev/null")
    given = parser.parse_args()
    if given.number is not None:
        judge_some(given.format, given.number, given.n, given.told)
        return 0
    from inputs import INPUTS

    names = [given.format] if given.format else list(INPUTS)
    end, first, n_files, n_found = time.monotonic() + 60 * given.minutes, given.seed, 0, 0
    with tempfile.NamedTemporaryFile() as told:
        while time.monotonic() < end:
            for name in names:
                found = [line for line in run(name, first, ROUND, told.name) if line]
                n_files, n_found = n_files + ROUND, n_found + len(found)
                print("\n".join([*found, f"{n_files} files, {n_found} findings"]), flush=True)
                if time.monotonic() > end:
                    break
            first += ROUND
    return min(1, n_found)


if __name__ == "__main__":
    sys.exit(main())
