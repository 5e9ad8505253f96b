"""Memory is an input: a job's `mem_mb`, and what of it a script may fill with buffers."""

from dataclasses import dataclass
from typing import Any

from ..errors import RetryableError
from .memory import BLOCK_BYTES
from .rules import MB, MemoryModel

SNAKEMAKE_MB = 250
"""Resident memory of the snakemake processes that SLURM counts as part of the same job."""

MIN_BUFFER_MB = 64
"""Below this, blocks get so small that a job would not end in reasonable time."""


@dataclass(frozen=True)
class Budget:
    """The memory of a job.

    Parameters
    ----------
    mem_mb
        What the job was given, in MB (`resources.mem_mb`).
    attempt
        How often the job has been started, itself included. An earlier attempt may have been killed
        although it kept to its budget, so what was not foreseen gets the larger share now: the
        n-th attempt fills an n-th. While `mem_mb` rises with the attempts its blocks stay as they were, and
        where a site's limit keeps it from rising they get smaller.
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
        """Stop at once a job that its memory does not hold.

        Parameters
        ----------
        need
            What the rule needs.
        cells, values
            Cells the job works on, and stored values of the sketch it holds.
        more_mb
            What else is held, such as an annotation table or a classifier.
        remedy
            What else than more memory would help.

        Raises
        ------
        RetryableError
            If `mem_mb` is too small for the script to run at all; the message says the least it needs.
        """
        self._check(need.held_mb(cells=cells, values=values) + more_mb, min_mb=0, remedy=remedy)

    def block_bytes(
        self, need: MemoryModel, *, cells: int = 0, more_mb: int = 0, most: int = BLOCK_BYTES
    ) -> int:
        """Bytes of a block, which is held `need.blocks` times; stops as `require` does.

        Parameters
        ----------
        need, cells, more_mb
            See `require`.
        most
            Size that is enough, however much memory there is.
        """
        held_mb = need.held_mb(cells=cells) + more_mb
        self._check(held_mb, min_mb=MIN_BUFFER_MB)
        block = self.predicted_block_bytes(need, held_mb=held_mb, most=most)
        print(f"attempt {self.attempt}: blocks of {block / MB:.0f} MB")
        return block

    def predicted_block_bytes(self, need: MemoryModel, *, held_mb: int, most: int = BLOCK_BYTES) -> int:
        """What `block_bytes` gives a job that holds so much; of one that cannot run, the least block."""
        buffer_mb = (self.mem_mb - SNAKEMAKE_MB - held_mb) // self.attempt
        return min(most, max(MIN_BUFFER_MB, buffer_mb) * MB // need.blocks)

    def _check(self, held_mb: int, *, min_mb: int, remedy: str = "") -> None:
        least = SNAKEMAKE_MB + held_mb + min_mb
        if self.mem_mb < least:
            raise RetryableError(
                f"mem_mb is {self.mem_mb}, and this job cannot run below {least}; "
                f"raise mem_mb for this rule in the profile (set-resources){remedy and f', or {remedy}'}"
            )
        print(f"mem_mb is {self.mem_mb}, of which {held_mb} are held throughout, {SNAKEMAKE_MB} by snakemake")
