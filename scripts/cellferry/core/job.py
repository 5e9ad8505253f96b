"""What every job does around its work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .digests import RESULTS, check_inputs, record_outputs
from .logs import logged


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Log what is written below, check the inputs before it, and record the outputs after it.

    Parameters
    ----------
    snakemake
        The object that Snakemake gives to a script.
    """
    pretrained = snakemake.config["pretrained"]
    with logged(snakemake.log[0]):
        check_inputs(snakemake.input, [RESULTS, pretrained] if isinstance(pretrained, str) else [RESULTS])
        yield
        record_outputs(snakemake.output, snakemake.input)
