"""Memory is an input: a job's `mem_mb`, and what of it a script may fill with buffers."""

from .errors import InputError

SNAKEMAKE_MB = 250
"""Resident memory of the snakemake processes that SLURM counts as part of the same job."""

LEAST_BUFFER_MB = 64
"""Below this, blocks get so small that a job would not end in reasonable time."""

MB = 1024**2


def buffer_bytes(mem_mb: int, *, fixed_mb: int) -> int:
    """Bytes a script may hold in buffers.

    Parameters
    ----------
    mem_mb
        What the job was given (`resources.mem_mb`), in MB.
    fixed_mb
        What the script needs whatever its buffers: interpreter, libraries, gene tables, models.

    Raises
    ------
    InputError
        If `mem_mb` is too small for the script to run at all; the message says the least it needs.
    """
    least = SNAKEMAKE_MB + fixed_mb + LEAST_BUFFER_MB
    if mem_mb < least:
        raise InputError(
            f"mem_mb is {mem_mb}, and this job cannot run below {least}; "
            f"raise mem_mb for this rule in the profile (set-resources)"
        )
    return (mem_mb - SNAKEMAKE_MB - fixed_mb) * MB
