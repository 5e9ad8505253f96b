"""The rules: request, memory and time of each rule's job.

A new rule needs a row here; rules, plan, `make doctor` and docs/memory.md use it.
"""

from dataclasses import dataclass
from math import inf

MB = 1024**2


@dataclass(frozen=True)
class Request:
    """Request of a job on its first attempt.

    Attributes
    ----------
    mem_mb
        Memory in MB; the n-th attempt requests n times as much.
    runtime
        Time in minutes; the n-th attempt requests n times as much.
    threads
        Cores.
    gpu
        True if it uses a GPU if the cluster has one.
    """

    mem_mb: int
    runtime: int
    threads: int = 1
    gpu: bool = False


@dataclass(frozen=True)
class MemoryModel:
    """Memory and time of a rule's job, as measured (benchmarks/scale.py).

    Attributes
    ----------
    fixed_mb
        Interpreter, libraries, tables of genes; independent of data and budget.
    cell_bytes
        Bytes per processed cell: codes, hashes of names.
    blocks
        Memory during processing of a block, as a multiple of the block of counts.
    value_bytes
        Bytes per stored value of a sketch, which is in memory as a whole.
    seconds, cells_per_s, values_per_s
        Start-up time, and throughput per second on one core.
    """

    fixed_mb: int
    cell_bytes: int = 0
    blocks: int = 0
    value_bytes: int = 0
    seconds: float = 0
    cells_per_s: float = inf
    values_per_s: float = inf

    def held_mb(self, *, cells: int = 0, values: float = 0) -> int:
        """MB without blocks, for so many cells and a sketch of so many stored values."""
        return self.fixed_mb + int(self.cell_bytes * cells + self.value_bytes * values) // MB


@dataclass(frozen=True)
class Rule:
    """Requests of a rule's job, on one machine and on a cluster.

    Attributes
    ----------
    local
        Request in the rule itself, used on one machine.
    slurm
        Request in profiles/slurm; None for a local rule. It is larger because CUDA's libraries take host
        memory, nodes have more cores, and a shared file system can be slow: unlike Snakemake alone, SLURM
        ends jobs after their requested time.
    memory
        Model of the job's memory and time; None for a rule that the plan does not predict.
    """

    local: Request
    slurm: Request | None = None
    memory: MemoryModel | None = None


RULES = {
    "demo_data": Rule(Request(1000, 10), memory=MemoryModel(fixed_mb=330, seconds=10)),
    "inspect_dataset": Rule(
        Request(1000, 10),
        slurm=Request(1000, 20),
        memory=MemoryModel(fixed_mb=280, cell_bytes=24, seconds=2, cells_per_s=3e6),
    ),
    "check_datasets": Rule(Request(1000, 10), memory=MemoryModel(fixed_mb=145, seconds=2)),
    "convert_to_chunks": Rule(
        Request(2000, 240),
        slurm=Request(2000, 480),
        memory=MemoryModel(fixed_mb=230, blocks=5, seconds=2, values_per_s=24e6),
    ),
    "merge_h5ad": Rule(
        Request(1000, 120),
        slurm=Request(1000, 240),
        memory=MemoryModel(fixed_mb=150, blocks=2, seconds=1, cells_per_s=1e6, values_per_s=55e6),
    ),
    "split_reference": Rule(
        Request(2000, 30),
        slurm=Request(2000, 30),
        memory=MemoryModel(fixed_mb=160, cell_bytes=40, seconds=1, cells_per_s=2e5),
    ),
    "select_genes": Rule(
        Request(2000, 60),
        slurm=Request(2000, 60),
        memory=MemoryModel(fixed_mb=190, cell_bytes=40, value_bytes=14, seconds=2, values_per_s=8e6),
    ),
    "select_markers": Rule(
        Request(2000, 60),
        slurm=Request(2000, 60),
        memory=MemoryModel(fixed_mb=155, cell_bytes=40, value_bytes=24, seconds=2, values_per_s=12e6),
    ),
    "compare_panels": Rule(Request(1000, 10), memory=MemoryModel(fixed_mb=117, seconds=1)),
    "subset_reference": Rule(
        Request(1000, 120),
        slurm=Request(1000, 120),
        memory=MemoryModel(fixed_mb=150, cell_bytes=8, blocks=3, seconds=1, values_per_s=60e6),
    ),
    "subset_common_genes": Rule(
        Request(1000, 120),
        slurm=Request(1000, 240),
        memory=MemoryModel(fixed_mb=150, cell_bytes=24, blocks=3, seconds=1, values_per_s=60e6),
    ),
    "shuffle_reference": Rule(
        Request(2000, 120),
        slurm=Request(2000, 120),
        memory=MemoryModel(fixed_mb=710, cell_bytes=16, value_bytes=22, seconds=4, values_per_s=8e6),
    ),
    "train_reference_model": Rule(
        Request(4000, 720, threads=4),
        slurm=Request(8000, 720, threads=8, gpu=True),
        memory=MemoryModel(fixed_mb=1075, value_bytes=50, seconds=8, cells_per_s=3.5e3),
    ),
    "import_reference": Rule(
        Request(3000, 60),
        slurm=Request(3000, 60),
        memory=MemoryModel(fixed_mb=1005, cell_bytes=40, seconds=12, cells_per_s=2e5),
    ),
    "unpack_reference": Rule(Request(1000, 10), memory=MemoryModel(fixed_mb=250, seconds=2)),
    "fit_query_model": Rule(
        Request(4000, 120, threads=4),
        slurm=Request(8000, 120, threads=8, gpu=True),
        memory=MemoryModel(fixed_mb=1005, cell_bytes=36, value_bytes=14, seconds=8, cells_per_s=5.7e3),
    ),
    "copy_reference_model": Rule(
        Request(1000, 30),
        slurm=Request(1000, 30),
        memory=MemoryModel(fixed_mb=155, cell_bytes=36, seconds=1, cells_per_s=3e6),
    ),
    "map_query": Rule(
        Request(1000, 60),
        slurm=Request(1000, 60),
        memory=MemoryModel(fixed_mb=155, blocks=3, seconds=1, cells_per_s=6e4),
    ),
    "train_classifier": Rule(
        Request(4000, 240, threads=4),
        slurm=Request(4000, 240, threads=16),
        memory=MemoryModel(
            fixed_mb=395, cell_bytes=48, value_bytes=32, seconds=15, cells_per_s=9e3, values_per_s=2.5e5
        ),
    ),
    "calibrate_classifier": Rule(
        Request(2000, 60),
        slurm=Request(2000, 60, threads=4),
        memory=MemoryModel(fixed_mb=270, cell_bytes=36, blocks=1, seconds=2, cells_per_s=3e4),
    ),
    "estimate_missing_genes": Rule(
        Request(2000, 60),
        slurm=Request(2000, 120),
        memory=MemoryModel(fixed_mb=270, cell_bytes=36, blocks=2, seconds=2, cells_per_s=8e3),
    ),
    "raise_thresholds": Rule(
        Request(2000, 60),
        slurm=Request(2000, 120, threads=4),
        memory=MemoryModel(fixed_mb=270, cell_bytes=36, blocks=1, seconds=2, cells_per_s=3e4),
    ),
    "predict_labels": Rule(
        Request(2000, 60),
        slurm=Request(2000, 120, threads=4),
        memory=MemoryModel(fixed_mb=265, blocks=1, seconds=1, cells_per_s=3e4),
    ),
    "gather_predictions": Rule(
        Request(2000, 120),
        slurm=Request(2000, 120),
        memory=MemoryModel(
            fixed_mb=180, cell_bytes=60, blocks=1, seconds=1, cells_per_s=7e4, values_per_s=25e6
        ),
    ),
    "write_fcs": Rule(
        Request(1000, 120),
        slurm=Request(1000, 240),
        memory=MemoryModel(fixed_mb=210, blocks=1, seconds=1, cells_per_s=7e5, values_per_s=50e6),
    ),
    "leave_labels_out": Rule(
        Request(2000, 120),
        slurm=Request(2000, 240),
        memory=MemoryModel(fixed_mb=270, cell_bytes=36, blocks=1, seconds=2, cells_per_s=2e3),
    ),
    "evaluate": Rule(
        Request(2000, 60),
        slurm=Request(2000, 60),
        memory=MemoryModel(fixed_mb=275, cell_bytes=36, value_bytes=13, seconds=2, cells_per_s=4e4),
    ),
    "gather_scores": Rule(Request(1000, 10), memory=MemoryModel(fixed_mb=26, seconds=1)),
    "report": Rule(
        Request(2000, 60),
        slurm=Request(2000, 60),
        memory=MemoryModel(fixed_mb=215, cell_bytes=45, seconds=15),
    ),
    "report_so_far": Rule(Request(2000, 60)),
    "plan": Rule(Request(1000, 10)),
}
"""The rules by name; a test compares profiles/slurm with them."""
