# What a run will take, before it begins:  make plan, which is
#     snakemake plan --forcerun plan --profile profiles/slurm --executor local --cores 1
# Forced, since it counts as done where it was made before.
#
# Reads:  results/inspected/, what the profile asks for
# Writes: logs/plan/plan.log, which is printed at the end


rule plan:
    input:
        inspected=expand("results/inspected/{dataset}.json", dataset=DATASETS),
        # Not made where a dataset cannot be used.
        checked="results/datasets.tsv",
        # What was trained before is not trained again.
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
