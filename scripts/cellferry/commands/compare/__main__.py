"""Compare two runs' labels of a query: `make compare A=old/results B=new/results`."""

import argparse
import os
import sys
from pathlib import Path

from ...artifacts.latents import read_values
from ...errors import InputError
from ..ending import fail
from .answers import find_answers
from .causes import counted, vocabulary
from .identities import identities
from .page import as_page, write_table
from .pairs import BATCH, Pairs

MAX_BATCHES = 20
"""Maximum number of batches that are counted separately."""


def compare(a: str, b: str, *, query: str = "", output: str = "") -> str:
    """Compare two tables of predictions, block by block.

    Parameters
    ----------
    a, b
        Parquet files of predictions, or folders of results.
    query
        Name of the query, if folders contain several.
    output
        Tab-separated file for all pairs of labels; not written if empty.

    Returns
    -------
    The comparison as text.

    Raises
    ------
    InputError
        If the tables cannot be found, read or compared, or the output does not end in `.tsv`.
    OSError
        If the output cannot be written.
    """
    if output and Path(output).suffix != ".tsv":
        raise InputError(f"OUTPUT={output}: does not end in .tsv; name a file such as OUTPUT=changes.tsv")
    answers = find_answers(a, b, query)
    for each in answers:
        if not each.n_cells:
            raise InputError(f"{each.path}: contains no cells; name a table with cells")
    origins = identities(answers[0]), identities(answers[1])
    vocabularies = vocabulary(answers[0]), vocabulary(answers[1])
    pairs = Pairs(*answers)
    by_batch = bool(pairs.mapped) and len(read_values(pairs.mapped, BATCH)) <= MAX_BATCHES
    rows = counted(pairs.blocks(), vocabularies, by_batch=by_batch)
    if output:
        write_table(rows, Path(output))
    return as_page(pairs, rows, origins, vocabularies)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    for key in ("a", "b", "query", "output"):
        parser.add_argument(f"--{key}", default="")
    given = parser.parse_args(arguments)
    try:
        page = compare(given.a, given.b, query=given.query, output=given.output)
    except (InputError, OSError) as error:
        return fail("make compare", error)
    print(page)
    if given.output:
        print(f"\nAll pairs of labels: {given.output}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # make compare | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
