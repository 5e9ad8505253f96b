# From a query's counts to labels. The held-out parts of the reference are queries too.
#
# Reads:  results/common/{query}.h5ad, results/reference/model/, results/reference/classifier/
# Writes: results/mapped/{query}/model/            the reference model, fitted to the query's batches
#         results/mapped/{part}/{chunk}.parquet    latents, one row per cell
#         results/mapped/{query}/gene_loss.json    accuracy lost to the model's genes that a query lacks
#         results/mapped/{query}/calibration.json  the decision model for the genes that it has
#         results/mapped/{query}/raised.json       the same with thresholds raised to its allowed error
#         results/predictions/{query}/{chunk}.parquet, results/predictions/{query}.parquet and .csv.gz
#         results/predictions/{query}/{chunk}.npz  the chunk's sums of expression by best label
#         results/predictions/{query}/label_genes.tsv, shifted_genes.tsv  genes that contribute to labels, and shifted genes
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
        # The reference's training cells need no fitting.
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
        # For the accuracy of training on the query's genes alone.
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
        # Calibration depends on the genes that the query has.
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
        "Adapting the thresholds of labels to {wildcards.query}"
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
        # Sums of expression by best label, for genes of labels without another pass.
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
        # Coordinates and numbers of cells per label, for places and colors.
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
        # Not an input: finished predictions do not need chunks. Its var may contain symbols, and is read if it
        # still exists.
        names="results/merged/{query}.h5ad",
    message:
        "Gathering the predictions of {wildcards.query}"
    script:
        "../scripts/gather_predictions.py"
