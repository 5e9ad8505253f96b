"""Commands, packages and files of this machine, with a default for missing ones."""

import re
import subprocess
import sys
from pathlib import Path

from ...core.project import PROJECT

ANSWER_SECONDS = 60


def run_command(*command: str, seconds: float = 0) -> tuple:
    """Exit code and output of a command, errors included; it can be missing or hang."""
    try:
        done = subprocess.run(  # not capture_output: Python 3.6
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds or ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer in {seconds or ANSWER_SECONDS} s"
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode("utf-8", "replace")


def in_own_environment() -> bool:
    """True if this Python is that of the project's .venv."""
    return Path(sys.prefix).resolve() == (PROJECT / ".venv").resolve()


def installed_version(package: str) -> str:
    """Version of an installed package; "" if it is not installed."""
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python before 3.8
        return ""
    try:
        return version(package) or ""
    except PackageNotFoundError:
        return ""


def numbers_of(version: str) -> tuple:
    """The numbers of a version, for comparison."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def first_match(pattern: str, text: object) -> str:
    """First group of a pattern in a text or a file; "" without a match."""
    match = re.search(pattern, text_of(text) if isinstance(text, Path) else text or "", re.M)
    return match.group(1) if match else ""


def text_of(path: Path) -> str:
    """Text of a file; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
