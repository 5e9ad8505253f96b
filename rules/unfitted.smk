# The reference's model instead of one fitted to a query. Included without `surgery.fit`.
#
# Reads:  results/common/{query}.h5ad, results/reference/model/
# Writes: results/mapped/{query}/model/   the reference's model, and its encoder for the query's batches


ruleorder: copy_reference_model > fit_query_model


rule copy_reference_model:
    input:
        common="results/common/{query}.h5ad",
        model=REFERENCE.file("reference/model"),
    output:
        model=directory("results/mapped/{query}/model"),
    log:
        "logs/copy_reference_model/{query}.log",
    benchmark:
        "results/benchmarks/copy_reference_model/{query}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("copy_reference_model")
    resources:
        **resources_of("copy_reference_model"),
    message:
        "Copying the reference model without fitting to the batches of {wildcards.query}"
    script:
        "../scripts/copy_reference_model.py"
