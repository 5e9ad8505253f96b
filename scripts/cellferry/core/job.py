"""Steps that every job does around its own work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .digests import RESULTS, check_inputs, record_outputs
from .logs import logged


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Write the output of the body to the log; check the inputs before it and record the outputs after it.

    Parameters
    ----------
    snakemake
        The object that Snakemake passes to a script.
    """
    pretrained = snakemake.config["pretrained"]
    roots = [RESULTS, pretrained] if isinstance(pretrained, str) else [RESULTS]
    with logged(snakemake.log[0]):
        start = time.monotonic()
        found = check_inputs(snakemake.input, roots)
        print(f"results read: {found}, as they were written (compared in {time.monotonic() - start:.2f} s)")
        yield
        start = time.monotonic()
        recorded = record_outputs(snakemake.output, snakemake.input)
        print(f"results written: {recorded} (recorded in {time.monotonic() - start:.2f} s)")
