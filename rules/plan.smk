# Predict memory, disk and time of a run:  make plan, which is
#     snakemake plan --forcerun plan --profile profiles/slurm --executor local --cores 1
# Forced, since an earlier plan is not made again.
#
# Reads:  results/inspected/, requests of the profile
# Writes: logs/plan/plan.log, printed at the end


rule plan:
    input:
        inspected=expand("results/inspected/{dataset}.json", dataset=DATASETS),
        # Not made if a dataset cannot be used.
        checked="results/datasets.tsv",
        # An earlier run's reference is not trained again.
        trained=REFERENCE.trained_before("reference/labels.json"),
    log:
        "logs/plan/plan.log",
    benchmark:
        "results/benchmarks/plan/plan.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    threads: threads_of("plan")
    resources:
        **resources_of("plan"),
    params:
        requested=requested_resources,
        config=config,
    message:
        "Predicting memory, disk and time of every rule"
    script:
        "../scripts/plan.py"
