"""Requests of the rules: memory, time, cores and GPUs that the job of each asks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What a job asks for on its first attempt.

    Attributes
    ----------
    mem_mb
        Memory in MB; the n-th attempt asks for n times as much.
    runtime
        Time in minutes; the n-th attempt asks for n times as much.
    threads
        Cores.
    gpu
        Whether it computes on a GPU where the cluster has one.
    """

    mem_mb: int
    runtime: int
    threads: int = 1
    gpu: bool = False


@dataclass(frozen=True)
class RuleRequests:
    """What the job of a rule asks for, on one machine and on a cluster.

    Attributes
    ----------
    local
        Request that the rule itself makes, and a run on one machine keeps.
    slurm
        Request that profiles/slurm ships; None of a rule that runs where snakemake does. It is larger where
        CUDA's libraries take memory of the host, where a node has more cores, and where a shared file system
        may be slow: SLURM ends jobs that take longer than they asked for, and Snakemake alone does not.
    """

    local: Request
    slurm: Request | None = None


REQUESTS = {
    "demo_data": RuleRequests(Request(1000, 10), slurm=Request(1000, 10)),
    "inspect_dataset": RuleRequests(Request(1000, 10), slurm=Request(1000, 20)),
    "check_datasets": RuleRequests(Request(1000, 10)),
    "convert_to_chunks": RuleRequests(Request(2000, 240), slurm=Request(2000, 480)),
    "merge_h5ad": RuleRequests(Request(1000, 120), slurm=Request(1000, 240)),
    "split_reference": RuleRequests(Request(2000, 30), slurm=Request(2000, 30)),
    "select_genes": RuleRequests(Request(2000, 60), slurm=Request(2000, 60)),
    "select_markers": RuleRequests(Request(2000, 60), slurm=Request(2000, 60)),
    "compare_panels": RuleRequests(Request(1000, 10)),
    "subset_reference": RuleRequests(Request(1000, 120), slurm=Request(1000, 240)),
    "subset_common_genes": RuleRequests(Request(1000, 120), slurm=Request(1000, 240)),
    "shuffle_reference": RuleRequests(Request(2000, 120), slurm=Request(2000, 240)),
    "train_reference_model": RuleRequests(
        Request(4000, 720, threads=4), slurm=Request(8000, 720, threads=8, gpu=True)
    ),
    "import_reference": RuleRequests(Request(3000, 60), slurm=Request(3000, 60)),
    "fit_query_model": RuleRequests(
        Request(4000, 120, threads=4), slurm=Request(8000, 120, threads=8, gpu=True)
    ),
    "map_query": RuleRequests(Request(2000, 60), slurm=Request(6000, 60, threads=4, gpu=True)),
    "train_classifier": RuleRequests(Request(4000, 240, threads=4), slurm=Request(4000, 480, threads=16)),
    "calibrate_classifier": RuleRequests(Request(2000, 60), slurm=Request(2000, 120, threads=4)),
    "estimate_missing_genes": RuleRequests(Request(2000, 60), slurm=Request(4000, 120)),
    "compare_mappings": RuleRequests(Request(4000, 120, threads=4), slurm=Request(4000, 240, threads=8)),
    "predict_labels": RuleRequests(Request(2000, 60), slurm=Request(2000, 120, threads=4)),
    "gather_predictions": RuleRequests(Request(2000, 120), slurm=Request(2000, 240)),
    "write_fcs": RuleRequests(Request(1000, 120), slurm=Request(1000, 240)),
    "leave_labels_out": RuleRequests(Request(2000, 120), slurm=Request(2000, 240)),
    "evaluate": RuleRequests(Request(2000, 60), slurm=Request(2000, 120)),
    "gather_scores": RuleRequests(Request(1000, 10)),
    "report": RuleRequests(Request(2000, 60), slurm=Request(2000, 60)),
    "report_so_far": RuleRequests(Request(2000, 60)),
    "plan": RuleRequests(Request(1000, 10)),
}
"""Requests by rule; a test holds profiles/slurm against them."""
