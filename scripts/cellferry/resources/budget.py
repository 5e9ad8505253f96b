"""A job's memory budget: `mem_mb`, and the part of it for buffers."""

from dataclasses import dataclass
from typing import Any

from ..errors import RetryableError
from .memory import BLOCK_BYTES
from .rules import MB, MemoryModel

SNAKEMAKE_MB = 250
"""Resident memory of the snakemake processes that SLURM counts as part of the same job."""

MIN_BUFFER_MB = 64
"""Smallest buffer for which a job ends in reasonable time."""


@dataclass(frozen=True)
class Budget:
    """The memory of a job.

    Parameters
    ----------
    mem_mb
        The job's memory in MB (`resources.mem_mb`).
    attempt
        Number of the attempt, from 1. An earlier attempt may have been killed although it kept to its
        budget, so the n-th attempt uses an n-th for buffers and leaves more for unpredicted memory. If
        `mem_mb` rises with the attempts, blocks keep their size; if a site's limit prevents it, they shrink.
    """

    mem_mb: int
    attempt: int = 1

    @classmethod
    def of(cls, resources: Any) -> "Budget":
        """The budget in a script's `snakemake.resources`."""
        return cls(resources.mem_mb, resources.attempt)

    def require(
        self, need: MemoryModel, *, cells: int = 0, values: float = 0, more_mb: int = 0, remedy: str = ""
    ) -> None:
        """Stop a job with too little memory at once.

        Parameters
        ----------
        need
            Memory model of the rule.
        cells, values
            Cells the job works on, and stored values of the sketch it holds.
        more_mb
            Further memory, such as an annotation table or a classifier.
        remedy
            Another remedy than more memory.

        Raises
        ------
        RetryableError
            If `mem_mb` is too small for the script; the message contains the minimum.
        """
        self._check(need.held_mb(cells=cells, values=values) + more_mb, min_mb=0, remedy=remedy)

    def block_bytes(
        self, need: MemoryModel, *, cells: int = 0, more_mb: int = 0, most: int = BLOCK_BYTES
    ) -> int:
        """Bytes of a block, which is held `need.blocks` times; fails like `require`.

        Parameters
        ----------
        need, cells, more_mb
            See `require`.
        most
            Largest useful size.
        """
        held_mb = need.held_mb(cells=cells) + more_mb
        self._check(held_mb, min_mb=MIN_BUFFER_MB)
        block = self.predicted_block_bytes(need, held_mb=held_mb, most=most)
        print(f"attempt {self.attempt}: blocks of {block / MB:.0f} MB")
        return block

    def predicted_block_bytes(self, need: MemoryModel, *, held_mb: int, most: int = BLOCK_BYTES) -> int:
        """`block_bytes` of a job with so much held memory; the smallest block if it cannot run."""
        buffer_mb = (self.mem_mb - SNAKEMAKE_MB - held_mb) // self.attempt
        return min(most, max(MIN_BUFFER_MB, buffer_mb) * MB // need.blocks)

    def _check(self, held_mb: int, *, min_mb: int, remedy: str = "") -> None:
        least = SNAKEMAKE_MB + held_mb + min_mb
        if self.mem_mb < least:
            raise RetryableError(
                f"mem_mb={self.mem_mb} is too low: this job cannot run below {least}; "
                f"raise mem_mb of this rule in the profile (set-resources){remedy and f', or {remedy}'}"
            )
        print(f"mem_mb is {self.mem_mb}: {held_mb} MB held throughout, {SNAKEMAKE_MB} MB by snakemake")
