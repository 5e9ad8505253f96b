# From a query's counts to labels. The held-back parts of the reference are queries too.
#
# Reads:  results/common/{query}.h5ad, results/reference/model/, results/reference/classifier/
# Writes: results/mapped/{query}/model/            the reference model, fitted to the query's batches
#         results/mapped/{part}/{chunk}.parquet    latents, one row per cell
#         results/mapped/{query}/gene_loss.json    what the model's genes are worth that a query lacks
#         results/mapped/{query}/rules.json        the answer's rules with the genes that it has
#         results/predictions/{query}/{chunk}.parquet, results/predictions/{query}.parquet and .csv.gz
#         results/labelled/{query}.h5ad            counts of the common genes, labels and latents


rule fit_query_model:
    input:
        common="results/common/{query}.h5ad",
        model=f"{TRAINED}/reference/model",
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
        **config["surgery"],
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
        "../envs/model.yaml"
    threads: threads_of("map_query")
    resources:
        **resources_of("map_query"),
    params:
        chunks=lambda wildcards: len(chunk_numbers(wildcards.part)),
    message:
        "Mapping chunk {wildcards.chunk} of {wildcards.part}, one of {params.chunks}"
    script:
        "../scripts/map_query.py"


rule predict_gene_loss:
    input:
        common="results/common/{query}.h5ad",
        validation=f"{TRAINED}/common/validation.h5ad",
        model=f"{TRAINED}/mapped/validation/model",
        classifier=f"{TRAINED}/reference/classifier",
        rules=f"{TRAINED}/reference/rules.json",
    output:
        gene_loss="results/mapped/{query}/gene_loss.json",
        rules="results/mapped/{query}/rules.json",
    log:
        "logs/predict_gene_loss/{query}.log",
    benchmark:
        "results/benchmarks/predict_gene_loss/{query}.tsv"
    conda:
        "../envs/model.yaml"
    threads: threads_of("predict_gene_loss")
    resources:
        **resources_of("predict_gene_loss"),
    params:
        max_loss=config["genes"]["max_loss"],
        max_error=config["prediction"]["max_error"],
        seed=config["seed"],
    message:
        "Foretelling what the genes cost that {wildcards.query} lacks"
    script:
        "../scripts/predict_gene_loss.py"


rule predict_labels:
    input:
        mapped="results/mapped/{query}/{chunk}.parquet",
        common="results/common/{query}.h5ad",
        classifier=f"{TRAINED}/reference/classifier",
        # What a probability is worth depends on the genes that the query has.
        rules=answer_rules,
    output:
        predictions="results/predictions/{query}/{chunk}.parquet",
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
        min_p=config["prediction"]["min_p"],
        min_counts=config["prediction"]["min_counts"],
        min_genes=config["prediction"]["min_genes"],
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
        mapped=lambda wildcards: expand(
            "results/mapped/{query}/{chunk}.parquet",
            query=wildcards.query,
            chunk=chunk_numbers(wildcards.query),
        ),
        common="results/common/{query}.h5ad",
        # Where its cells lie, and how many there are of each label, is what places and colours go by.
        classifier=f"{TRAINED}/reference/classifier",
        labels=f"{TRAINED}/reference/labels.json",
    output:
        parquet="results/predictions/{query}.parquet",
        csv="results/predictions/{query}.csv.gz",
        labelled="results/labelled/{query}.h5ad",
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
        labelled=config["output"]["labelled"],
    message:
        "Gathering the predictions of {wildcards.query}"
    script:
        "../scripts/gather_predictions.py"
