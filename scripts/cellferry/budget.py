"""Memory is an input: a job's `mem_mb`, and what of it a script may fill with buffers."""

from dataclasses import dataclass
from typing import Any

from .errors import PassingError

SNAKEMAKE_MB = 250
"""Resident memory of the snakemake processes that SLURM counts as part of the same job."""

LEAST_BUFFER_MB = 64
"""Below this, blocks get so small that a job would not end in reasonable time."""

MB = 1024**2


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

    def buffer_bytes(self, *, fixed_mb: int) -> int:
        """Bytes a script may hold in buffers.

        Parameters
        ----------
        fixed_mb
            What the script needs whatever its buffers: interpreter, libraries, gene tables, models.

        Raises
        ------
        PassingError
            If `mem_mb` is too small for the script to run at all; the message says the least it needs.
        """
        least = SNAKEMAKE_MB + fixed_mb + LEAST_BUFFER_MB
        if self.mem_mb < least:
            raise PassingError(
                f"mem_mb is {self.mem_mb}, and this job cannot run below {least}; "
                f"raise mem_mb for this rule in the profile (set-resources)"
            )
        buffer_mb = max(LEAST_BUFFER_MB, (self.mem_mb - SNAKEMAKE_MB - fixed_mb) // self.attempt)
        print(
            f"attempt {self.attempt}: buffers of {buffer_mb} MB; mem_mb is {self.mem_mb}, "
            f"of which {fixed_mb} for the rest and {SNAKEMAKE_MB} for snakemake"
        )
        return buffer_mb * MB
