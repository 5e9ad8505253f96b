# Rules for cytometry only. Included if `modality` is cytometry.
#
# Reads:  results/merged/{dataset}.h5ad, results/inspected/{dataset}.json, predictions and mapped cells of queries
# Writes: results/genes.tsv, genes.json   markers of the model, and the transformation of their values
#         results/panel.tsv               every channel of every dataset, and its use
#         results/fcs/{query}/            a file per sample, with channels of labels and latents for gating


# It makes the same files for markers.
ruleorder: select_markers > select_genes


rule select_markers:
    input:
        merged=expand("results/merged/{dataset}.h5ad", dataset=GENE_SOURCES),
        # Sources of the views: without them a merged file reads as zeros.
        chunks=[folder for name in GENE_SOURCES for folder in chunk_folders(name)],
        inspected=expand("results/inspected/{dataset}.json", dataset=GENE_SOURCES),
        splits="results/reference/splits.parquet",
    output:
        genes="results/genes.tsv",
        report="results/genes.json",
    log:
        "logs/select_markers/select_markers.log",
    benchmark:
        "results/benchmarks/select_markers/select_markers.tsv"
    conda:
        "../envs/data.yaml"
    threads: threads_of("select_markers")
    resources:
        **resources_of("select_markers"),
    params:
        names=GENE_SOURCES,
        references=REFERENCES,
        cofactor=config["cytometry"]["cofactor"],
        genes=settings_of(MarkerSettings, config),
        seed=config["seed"],
    message:
        f"Selecting the common markers of {', '.join(GENE_SOURCES)} and their scaling"
    script:
        "../scripts/select_markers.py"


rule compare_panels:
    input:
        inspected=expand("results/inspected/{dataset}.json", dataset=DATASETS),
        genes=REFERENCE.file("genes.tsv"),
    output:
        "results/panel.tsv",
    log:
        "logs/compare_panels/compare_panels.log",
    benchmark:
        "results/benchmarks/compare_panels/compare_panels.tsv"
    # A table of channels: too small for a job.
    localrule: True
    conda:
        "../envs/data.yaml"
    threads: threads_of("compare_panels")
    resources:
        **resources_of("compare_panels"),
    message:
        "Comparing the panels of all datasets with the model's"
    script:
        "../scripts/compare_panels.py"


rule write_fcs:
    input:
        merged="results/merged/{query}.h5ad",
        # Sources of the view: without them a merged file reads as zeros.
        chunks=lambda wildcards: chunk_folders(wildcards.query),
        predictions="results/predictions/{query}.parquet",
        mapped=lambda wildcards: expand(
            "results/mapped/{query}/{chunk}.parquet",
            query=wildcards.query,
            chunk=chunk_numbers(wildcards.query),
        ),
    output:
        fcs=directory("results/fcs/{query}"),
    log:
        "logs/write_fcs/{query}.log",
    benchmark:
        "results/benchmarks/write_fcs/{query}.tsv"
    wildcard_constraints:
        query="|".join(QUERIES),
    conda:
        "../envs/predict.yaml"
    threads: threads_of("write_fcs")
    resources:
        **resources_of("write_fcs"),
    message:
        "Writing the samples of {wildcards.query} as FCS files"
    script:
        "../scripts/write_fcs.py"
