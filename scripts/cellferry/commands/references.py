"""References of registries: list them (`make references`), or fetch one (`make fetch`).

Only fetching opens a network connection; a run and its jobs read the fetched file.
"""

import argparse
import os
import sys
from contextlib import chdir
from pathlib import Path

from ..config.named_reference import known_references, read_section, shelves_of
from ..core.progress import watched
from ..core.text import aligned, printable
from ..errors import InputError
from ..references.cache import Shelves
from ..references.fetching import MB, fetch
from ..references.registry import SHIPPED, RegistryEntry, find
from .ending import fail

COLUMNS = ("name", "version", "MB", "license", "file", "description")


def fetch_named(name: str, known: list[RegistryEntry], shelves: Shelves) -> None:
    """Fetch a reference, and print its path and its use.

    Raises
    ------
    InputError
        If no registry lists it, or it cannot be fetched.
    """
    if not name:
        raise InputError("REFERENCE= is missing; name one of those that `make references` lists")
    reference = find(name, known)
    about = f"{reference.description} ({reference.size / MB:,.1f} MB, {reference.license})"
    print(f"{reference}: {printable(about)}")
    with watched(2, f"logs/{reference}.log"):
        path = fetch(reference, shelves)
    print(f"{path}: fetched, checksum correct. In a configuration:  pretrained: {reference}")


def table(known: list[RegistryEntry], shelves: Shelves) -> str:
    """One line per reference; `file` is its place: cache, mirror, path (of the registry), or -."""
    rows = [COLUMNS]
    for each in known:
        size = f"{each.size / MB:,.1f}"
        rows.append((each.name, each.version, size, each.license, place(each, shelves), each.description))
    return "\n".join(map(printable, aligned(rows, left=range(len(COLUMNS)))))


def place(reference: RegistryEntry, shelves: Shelves) -> str:
    """Place of a reference's file in one word; a file of another size does not count."""
    path = shelves.find(reference)
    if path is None or path.stat().st_size != reference.size:
        return "-"
    if path == reference.path:
        return "path"
    return "cache" if path == shelves.cached(reference) else "mirror"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetch", metavar="NAME@VERSION", help="without it, list all")
    parser.add_argument("--config", type=Path, nargs="+", default=[])
    parser.add_argument("--directory", type=Path, default=Path(), help="the folder that snakemake runs in")
    given = parser.parse_args(arguments)
    config_files = [Path(os.path.abspath(path)) for path in given.config]
    try:
        if not given.directory.is_dir():
            raise InputError(f"DIRECTORY={given.directory}: no such folder; name another")
        with chdir(given.directory):
            section = read_section(config_files)
            known, shelves = known_references(section), shelves_of(section)
            if given.fetch is not None:
                fetch_named(given.fetch, known, shelves)
                return 0
            print(table(known, shelves) if known else f"no references: {SHIPPED} is empty")
            mirror = f", mirror: {shelves.mirror}" if shelves.mirror else ""
            print(f"cache: {shelves.cache.absolute()}{mirror}")
    except InputError as error:
        return fail("make references" if given.fetch is None else "make fetch", error)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command resumes the download")
