# From the users' files to counts of the common genes.
#
# Reads:  the files in the configuration
# Writes: results/inspected/{dataset}.json   the file's content; reads only its header
#         results/datasets.tsv               the same as one table; made only if all datasets pass the checks
#         results/checked/{dataset}          hash of the state in which a dataset passed the checks
#         results/chunks/{dataset}/{job}/{chunk}.h5ad   raw counts, CSR float32, and the needed obs columns
#         results/merged/{dataset}.h5ad      one file per dataset, a view over its chunks
#         results/reference/splits.parquet   train, validation, test or rare, per reference cell
#         results/reference/labels.json      its labels: numbers of cells, training status, levels
#         results/genes.tsv, genes.json      the model's genes, and each dataset's lost genes
#         results/common/{part}.h5ad         the counts of those genes; the references' parts (reference, validation, test, rare) together


rule demo_data:
    output:
        reference="resources/demo/reference.h5ad",
        query=directory("resources/demo/query"),
        query_obs="resources/demo/query_obs.csv",
    log:
        "logs/demo_data/demo_data.log",
    benchmark:
        "results/benchmarks/demo_data/demo_data.tsv"
    # A few small files: too small for a job.
    localrule: True
    conda:
        "../envs/genes.yaml"
    threads: threads_of("demo_data")
    resources:
        **resources_of("demo_data"),
    message:
        "Making the demo's datasets from scanpy's packaged pbmc68k_reduced"
    script:
        "../scripts/demo_data.py"


rule inspect_dataset:
    input:
        path=dataset_files,
        obs=dataset_tables,
        rename=label_table("rename"),
        markers=marker_table,
    output:
        "results/inspected/{dataset}.json",
    log:
        "logs/inspect_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/inspect_dataset/{dataset}.tsv"
    conda:
        "../envs/data.yaml"
    threads: threads_of("inspect_dataset")
    resources:
        **resources_of("inspect_dataset"),
    params:
        dataset=lambda wildcards: {
            **dataset_config(wildcards),
            **{key: config["datasets"][wildcards.dataset][key] for key in ("technology", "transformed")},
        },
        labels={key: config["labels"][key] for key in ("rename", "missing")},
    message:
        "Inspecting {wildcards.dataset}"
    script:
        "../scripts/inspect_dataset.py"


# Datasets that were not checked in their present state. Not needed inside a job, which starts after the checks.
UNCHECKED = [dataset for dataset in DATASETS if not is_checked(dataset)] if workflow.is_main_process else []


rule check_datasets:
    input:
        inspected=expand("results/inspected/{dataset}.json", dataset=DATASETS),
        parents=label_table("parents"),
        ontology=label_table("ontology"),
        is_a=is_a_file(),
        # Labels and genes of an earlier run.
        trained=REFERENCE.trained_before("reference/labels.json"),
        trained_genes=REFERENCE.trained_before("genes.tsv"),
        trained_report=REFERENCE.trained_before("genes.json"),
        gene_map=gene_map(),
        orthologs=orthologs(),
    output:
        table="results/datasets.tsv",
        # Files of checked datasets exist, and are not outputs: Snakemake ignores changed params of jobs behind a job
        # that must run, so this job must not precede the conversions of checked datasets.
        checked=expand("results/checked/{dataset}", dataset=UNCHECKED),
    log:
        "logs/check_datasets/check_datasets.log",
    benchmark:
        "results/benchmarks/check_datasets/check_datasets.tsv"
    # A table of a few lines: too small for a job.
    localrule: True
    conda:
        "../envs/data.yaml"
    threads: threads_of("check_datasets")
    resources:
        **resources_of("check_datasets"),
    params:
        # Functions: Snakemake searches plain text for wildcards.
        parents=lambda wildcards: config["labels"]["parents"],
        ontology=lambda wildcards: config["labels"]["ontology"],
        gene_ids={name: config["datasets"][name]["gene_id"] for name in DATASETS},
        is_a=lambda wildcards: config["labels"]["is_a"],
        gene_sources=GENE_SOURCES,
        orthologs=SHIPPED_ORTHOLOGS,
        min_common=config["genes"]["min_common"],
        n_variable=config["genes"]["n_variable"],
        cofactor=config["cytometry"]["cofactor"],
    message:
        f"Checking that {', '.join(DATASETS)} can be used"
    script:
        "../scripts/check_datasets.py"


rule convert_to_chunks:
    input:
        path=dataset_files,
        obs=dataset_tables,
        rename=label_table("rename"),
        markers=marker_table,
        inspected="results/inspected/{dataset}.json",
        # Made by check_datasets if this dataset was not checked in its present state.
        checked="results/checked/{dataset}",
    output:
        # A folder: a job reads its share of the files once, from front to back, and writes several chunks.
        chunks=directory("results/chunks/{dataset}/{job}"),
    log:
        "logs/convert_to_chunks/{dataset}_{job}.log",
    benchmark:
        "results/benchmarks/convert_to_chunks/{dataset}_{job}.tsv"
    conda:
        "../envs/data.yaml"
    threads: threads_of("convert_to_chunks")
    resources:
        **resources_of("convert_to_chunks"),
    params:
        dataset=lambda wildcards: {
            **dataset_config(wildcards),
            "jobs": config["datasets"][wildcards.dataset]["jobs"],
        },
        labels={key: config["labels"][key] for key in ("rename", "missing")},
    message:
        "Converting {wildcards.dataset} to chunks: job {wildcards.job}, one of {params.dataset[jobs]}"
    script:
        "../scripts/convert_to_chunks.py"


rule merge_h5ad:
    input:
        chunks=lambda wildcards: chunk_folders(wildcards.dataset),
    output:
        merged="results/merged/{dataset}.h5ad",
    log:
        "logs/merge_h5ad/{dataset}.log",
    benchmark:
        "results/benchmarks/merge_h5ad/{dataset}.tsv"
    conda:
        "../envs/data.yaml"
    threads: threads_of("merge_h5ad")
    resources:
        **resources_of("merge_h5ad"),
    params:
        materialize=config["merge"]["materialize"],
    message:
        "Merging the chunks of {wildcards.dataset}"
    script:
        "../scripts/merge_h5ad.py"


rule split_reference:
    input:
        merged=expand("results/merged/{dataset}.h5ad", dataset=REFERENCES),
        inspected=expand("results/inspected/{dataset}.json", dataset=REFERENCES),
        parents=label_table("parents"),
        ontology=label_table("ontology"),
        is_a=is_a_file(),
    output:
        splits="results/reference/splits.parquet",
        labels="results/reference/labels.json",
    log:
        "logs/split_reference/split_reference.log",
    benchmark:
        "results/benchmarks/split_reference/split_reference.tsv"
    conda:
        "../envs/data.yaml"
    threads: threads_of("split_reference")
    resources:
        **resources_of("split_reference"),
    params:
        split=settings_of(SplitSettings, config),
        subsample=config["reference"]["subsample"],
        parents=lambda wildcards: config["labels"]["parents"],
        ontology=lambda wildcards: config["labels"]["ontology"],
        is_a=lambda wildcards: config["labels"]["is_a"],
        seed=config["seed"],
    message:
        f"Drawing a validation and a test part of {', '.join(REFERENCES)}"
    script:
        "../scripts/split_reference.py"


rule select_genes:
    input:
        merged=expand("results/merged/{dataset}.h5ad", dataset=GENE_SOURCES),
        # Sources of the views: without them a merged file reads as zeros.
        chunks=[folder for name in GENE_SOURCES for folder in chunk_folders(name)],
        splits="results/reference/splits.parquet",
        gene_map=gene_map(),
        orthologs=orthologs(),
    output:
        genes="results/genes.tsv",
        report="results/genes.json",
    log:
        "logs/select_genes/select_genes.log",
    benchmark:
        "results/benchmarks/select_genes/select_genes.tsv"
    conda:
        "../envs/genes.yaml"
    threads: threads_of("select_genes")
    resources:
        **resources_of("select_genes"),
    params:
        names=GENE_SOURCES,
        references=REFERENCES,
        gene_ids={name: config["datasets"][name]["gene_id"] for name in GENE_SOURCES},
        orthologs=SHIPPED_ORTHOLOGS,
        genes=settings_of(GeneSettings, config),
        seed=config["seed"],
    message:
        f"Selecting variable genes among the common genes of {', '.join(GENE_SOURCES)}"
    script:
        "../scripts/select_genes.py"


rule subset_reference:
    input:
        merged=expand("results/merged/{dataset}.h5ad", dataset=REFERENCES),
        chunks=[folder for name in REFERENCES for folder in chunk_folders(name)],
        splits="results/reference/splits.parquet",
        genes="results/genes.tsv",
        report="results/genes.json",
        gene_map=gene_map(),
        orthologs=orthologs(),
        # Transformation of intensities.
        inspected=MODALITY.with_intensities(expand("results/inspected/{dataset}.json", dataset=REFERENCES)),
    output:
        # Training cells of the model.
        train="results/common/reference.h5ad",
        validation="results/common/validation.h5ad",
        test="results/common/test.h5ad",
        # Cells of rare labels; may be empty.
        rare="results/common/rare.h5ad",
    log:
        "logs/subset_reference/subset_reference.log",
    benchmark:
        "results/benchmarks/subset_reference/subset_reference.tsv"
    conda:
        "../envs/data.yaml"
    threads: threads_of("subset_reference")
    resources:
        **resources_of("subset_reference"),
    params:
        names=REFERENCES,
        gene_ids={name: config["datasets"][name]["gene_id"] for name in REFERENCES},
        orthologs=SHIPPED_ORTHOLOGS,
    message:
        f"Subsetting the parts of {', '.join(REFERENCES)} to the common genes"
    script:
        "../scripts/subset_reference.py"


rule subset_common_genes:
    input:
        merged="results/merged/{query}.h5ad",
        chunks=lambda wildcards: chunk_folders(wildcards.query),
        genes=REFERENCE.file("genes.tsv"),
        report=REFERENCE.file("genes.json"),
        gene_map=gene_map(),
        orthologs=orthologs(),
        inspected=MODALITY.with_intensities("results/inspected/{query}.json"),
        # Its heads may need the counts of all genes.
        classifier=REFERENCE.on_expression_alone("reference/classifier"),
    output:
        common="results/common/{query}.h5ad",
    log:
        "logs/subset_common_genes/{query}.log",
    benchmark:
        "results/benchmarks/subset_common_genes/{query}.tsv"
    wildcard_constraints:
        query="|".join(MAPPED),
    conda:
        "../envs/data.yaml"
    threads: threads_of("subset_common_genes")
    resources:
        **resources_of("subset_common_genes"),
    params:
        gene_id=lambda wildcards: config["datasets"][wildcards.query]["gene_id"],
        orthologs=SHIPPED_ORTHOLOGS,
        min_common=config["genes"]["min_common"],
        labeled_only=lambda wildcards: wildcards.query in EVALUATED,
        max_cells=lambda wildcards: (
            config["datasets"][wildcards.query]["max_cells"] if wildcards.query in EVALUATED else None
        ),
        seed=config["seed"],
    message:
        "Subsetting {wildcards.query} to the common genes"
    script:
        "../scripts/subset_common_genes.py"
