# From a query's counts to labels. The held-out parts of the reference are queries too.
#
# Reads:  results/common/{query}.h5ad, results/reference/model/, results/reference/classifier/
# Writes: results/mapped/{query}/model/            the reference model, fitted to the query's batches
#         results/mapped/{part}/{chunk}.parquet    latents, one row per cell
#         results/mapped/{query}/gene_loss.json    what the model's genes are worth that a query lacks
#         results/mapped/{query}/calibration.json  the answer's rules with the genes that it has
#         results/mapped/{query}/raised.json       the same with thresholds raised until its expected error is allowed
#         results/predictions/{query}/{chunk}.parquet, results/predictions/{query}.parquet and .csv.gz
#         results/predictions/{query}/{chunk}.npz  sums of expression by best label, of the chunk
#         results/predictions/{query}/label_genes.tsv, shifted_genes.tsv  why its labels, and what moved
#         results/labeled/{query}.h5ad             counts of the common genes, labels and latents
#         results/labeled/{query}.cas.json         the labels in the Cell Annotation Schema


rule fit_query_model:
    input:
        common="results/common/{query}.h5ad",
        model=REFERENCE.file("reference/model"),
    output:
        model=directory("results/mapped/{query}/model"),
    log:
        "logs/fit_query_model/{query}.log",
    benchmark:
        "results/benchmarks/fit_query_model/{query}.tsv"
    conda:
        "../envs/model.yaml"
    threads: threads_of("fit_query_model")
    resources:
        **resources_of("fit_query_model"),
    params:
        surgery=settings_of(SurgerySettings, config),
        batch_size=config["model"]["batch_size"],
        seed=config["seed"],
    message:
        "Fitting the reference model to the batches of {wildcards.query}"
    script:
        "../scripts/fit_query_model.py"


rule map_query:
    input:
        common="results/common/{part}.h5ad",
        # The reference's training cells need no fitting: they are mapped by the model as it is.
        model=lambda wildcards: (
            "results/reference/model"
            if wildcards.part == "reference"
            else f"results/mapped/{wildcards.part}/model"
        ),
    output:
        mapped="results/mapped/{part}/{chunk}.parquet",
    log:
        "logs/map_query/{part}/{chunk}.log",
    benchmark:
        "results/benchmarks/map_query/{part}/{chunk}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("map_query")
    resources:
        **resources_of("map_query"),
    params:
        chunks=lambda wildcards: len(chunk_numbers(wildcards.part)),
    message:
        "Mapping chunk {wildcards.chunk} of {wildcards.part}, one of {params.chunks}"
    script:
        "../scripts/map_query.py"


rule estimate_missing_genes:
    input:
        common="results/common/{query}.h5ad",
        validation=REFERENCE.file("common/validation.h5ad"),
        # What training on the query's genes would cost.
        training=REFERENCE.counts("common/reference.h5ad"),
        model=REFERENCE.file("mapped/validation/model"),
        classifier=REFERENCE.file("reference/classifier"),
        decision=REFERENCE.file("reference/calibration.json"),
    output:
        gene_loss="results/mapped/{query}/gene_loss.json",
        decision="results/mapped/{query}/calibration.json",
    log:
        "logs/estimate_missing_genes/{query}.log",
    benchmark:
        "results/benchmarks/estimate_missing_genes/{query}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("estimate_missing_genes")
    resources:
        **resources_of("estimate_missing_genes"),
    params:
        max_loss=config["genes"]["max_loss"],
        max_error=config["prediction"]["max_error"],
        seed=config["seed"],
    message:
        "Estimating the accuracy lost to genes missing from {wildcards.query}"
    script:
        "../scripts/estimate_missing_genes.py"


rule raise_thresholds:
    input:
        mapped=lambda wildcards: mapped_chunks(wildcards.query),
        common="results/common/{query}.h5ad",
        classifier=REFERENCE.file("reference/classifier"),
        # What a probability is worth depends on the genes that the query has.
        decision=decision_model,
    output:
        raised="results/mapped/{query}/raised.json",
    log:
        "logs/raise_thresholds/{query}.log",
    benchmark:
        "results/benchmarks/raise_thresholds/{query}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("raise_thresholds")
    resources:
        **resources_of("raise_thresholds"),
    params:
        prediction=settings_of(LimitSettings, config),
        seed=config["seed"],
    message:
        "Raising the thresholds of labels where {wildcards.query} asks for it"
    script:
        "../scripts/raise_thresholds.py"


rule predict_labels:
    input:
        mapped="results/mapped/{query}/{chunk}.parquet",
        common="results/common/{query}.h5ad",
        classifier=REFERENCE.file("reference/classifier"),
        decision=decision_for_query,
    output:
        predictions="results/predictions/{query}/{chunk}.parquet",
        # Of the cells' expression, by best label: genes of labels follow from them without another pass.
        sums="results/predictions/{query}/{chunk}.npz",
    log:
        "logs/predict_labels/{query}/{chunk}.log",
    benchmark:
        "results/benchmarks/predict_labels/{query}/{chunk}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("predict_labels")
    resources:
        **resources_of("predict_labels"),
    params:
        chunks=lambda wildcards: len(chunk_numbers(wildcards.query)),
        prediction=settings_of(LimitSettings, config),
    message:
        "Predicting labels for chunk {wildcards.chunk} of {wildcards.query}, one of {params.chunks}"
    script:
        "../scripts/predict_labels.py"


rule gather_predictions:
    input:
        predictions=lambda wildcards: expand(
            "results/predictions/{query}/{chunk}.parquet",
            query=wildcards.query,
            chunk=chunk_numbers(wildcards.query),
        ),
        sums=lambda wildcards: expand(
            "results/predictions/{query}/{chunk}.npz",
            query=wildcards.query,
            chunk=chunk_numbers(wildcards.query),
        ),
        mapped=lambda wildcards: expand(
            "results/mapped/{query}/{chunk}.parquet",
            query=wildcards.query,
            chunk=chunk_numbers(wildcards.query),
        ),
        common="results/common/{query}.h5ad",
        # Where its cells lie, and how many there are of each label, is what places and colors go by.
        classifier=REFERENCE.file("reference/classifier"),
        labels=REFERENCE.file("reference/labels.json"),
        packed=REFERENCE.identity,
        # Symbols beside Ensembl ids.
        gene_map=gene_map(),
    output:
        parquet="results/predictions/{query}.parquet",
        csv="results/predictions/{query}.csv.gz",
        labeled="results/labeled/{query}.h5ad",
        annotations="results/labeled/{query}.cas.json",
        label_genes="results/predictions/{query}/label_genes.tsv",
        shifted_genes="results/predictions/{query}/shifted_genes.tsv",
    log:
        "logs/gather_predictions/{query}.log",
    benchmark:
        "results/benchmarks/gather_predictions/{query}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("gather_predictions")
    resources:
        **resources_of("gather_predictions"),
    params:
        labeled=config["output"]["labeled"],
        # Not an input: predictions that are there want no chunks. Its var may hold symbols, and is looked at if
        # it is still there.
        names="results/merged/{query}.h5ad",
    message:
        "Gathering the predictions of {wildcards.query}"
    script:
        "../scripts/gather_predictions.py"
