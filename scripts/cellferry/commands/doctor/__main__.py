"""Check before the first run that this machine can run the workflow: `make doctor`.

It runs before anything is installed, with a login node's old Python: it is written for Python 3.6, and its
top-level imports are from the standard library. Checks that need more are skipped there, with a note.
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
    """Run all checks and print their findings; return the number of failed ones."""
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
        except Exception as error:  # one failing check must not stop the others
            text = f"check failed ({type(error).__name__}: {error})"
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
    parser.add_argument("--wait", type=int, default=300, help="seconds that this job may wait")
    parser.add_argument("--report-torch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if IS_INSTALLED:
        parser.error("cellferry is installed here, and doctor examines a clone; run `make doctor` in one")
    if arguments.report_torch:
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
