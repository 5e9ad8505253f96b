"""Whether this machine can run the workflow, told before the first run: `make doctor`.

Runs before anything is installed, on a login node's old Python: it is written for Python 3.6 and imports
nothing but the standard library at the top. What needs more is left out there, with a note.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from ...core.project import IS_INSTALLED
from .cluster import check_slurm
from .findings import Finding, lines_of
from .folder import check_folder
from .gpu import check_gpu_here, check_gpu_node, what_torch_sees
from .installed import check_conda, check_environment, check_python, check_snakemake
from .machine import check_machine
from .system import PROJECT


def examine(profile: Path, folder: Path, gpu: bool, wait_seconds: int) -> int:
    """Make all checks and print what they find; returns how many have failed."""
    checks = [
        ("Python", check_python, ()),
        (".venv", check_environment, ()),
        ("snakemake", check_snakemake, ()),
        ("conda", check_conda, ()),
        ("SLURM", check_slurm, (profile,)),
        ("folder", check_folder, (folder,)),
        ("machine", check_machine, (profile,)),
        ("GPU", check_gpu_here, (profile,)),
    ]
    if gpu:
        checks.append(("GPU job", check_gpu_node, (profile, folder, wait_seconds)))
    count = {"ok": 0, "note": 0, "FAILS": 0}
    for subject, check, arguments in checks:
        try:
            findings = check(*arguments)
        except Exception as error:  # machines are strange; one check must not keep the others from being made
            text = f"could not be looked at ({type(error).__name__}: {error})"
            findings = [Finding("note", subject, text)]
        for finding in findings:
            count[finding.status] += 1
            print("\n".join(lines_of(finding)), flush=True)
    print(f"\n{count['ok']} ok, {count['note']} to note, {count['FAILS']} FAILS")
    return count["FAILS"]


def main() -> int:
    """Read the command line; exit status 1 if something FAILS."""
    parser = argparse.ArgumentParser(prog="make doctor", description=__doc__)
    parser.add_argument("--profile", type=Path, default=PROJECT / "profiles" / "slurm")
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--gpu", action="store_true", help="send a small job to the GPU partition")
    parser.add_argument("--wait", type=int, default=300, help="seconds that job may wait")
    parser.add_argument("--what-torch-sees", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if IS_INSTALLED:
        parser.error("cellferry is installed here, and doctor examines a clone; run `make doctor` in one")
    if arguments.what_torch_sees:
        print(json.dumps(what_torch_sees()))
        return 0
    folder = Path(os.path.abspath(str(arguments.directory)))
    return int(examine(arguments.profile, folder, arguments.gpu, arguments.wait) > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
    except BrokenPipeError:  # make doctor | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
