# From predictions to scores and pictures.
#
# Reads:  results/predictions/{query}.parquet, results/common/, results/mapped/, results/genes.json,
#         results/datasets.tsv, results/evaluation/label_agreement.tsv, results/reference/history.csv, labels.json and classifier/, results/benchmarks/
# Writes: results/evaluation/{query}.json   scores of a query with known labels, beside a simple baseline
#         results/reference/left_out.json   predictions for cells of a label that the reference lacks
#         results/evaluation/scores.tsv     all scores by dataset, level, label, head
#         results/report.html               one self-contained page
#         results/figures/                  its figures, also for `snakemake --report`
#         results/report_so_far.html        the page of an unfinished run


rule evaluate:
    input:
        predictions="results/predictions/{query}.parquet",
        reference=REFERENCE.counts("common/reference.h5ad"),
        common="results/common/{query}.h5ad",
        classifier=REFERENCE.file("reference/classifier"),
    output:
        evaluation="results/evaluation/{query}.json",
    log:
        "logs/evaluate/{query}.log",
    benchmark:
        "results/benchmarks/evaluate/{query}.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("evaluate")
    resources:
        **resources_of("evaluate"),
    params:
        seed=config["seed"],
    message:
        "Scoring the predictions of {wildcards.query}"
    script:
        "../scripts/evaluate.py"


rule leave_labels_out:
    input:
        mapped=mapped_chunks("test"),
        common=REFERENCE.counts("common/test.h5ad"),
        classifier="results/reference/classifier",
        decision="results/reference/calibration.json",
    output:
        left_out="results/reference/left_out.json",
    log:
        "logs/leave_labels_out/leave_labels_out.log",
    benchmark:
        "results/benchmarks/leave_labels_out/leave_labels_out.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("leave_labels_out")
    resources:
        **resources_of("leave_labels_out"),
    params:
        prediction=settings_of(LimitSettings, config),
        seed=config["seed"],
    message:
        "Leaving out each label of the reference"
    script:
        "../scripts/leave_labels_out.py"


rule gather_scores:
    input:
        evaluations=[*TESTED, *expand("results/evaluation/{query}.json", query=SCORED)],
    output:
        report("results/evaluation/scores.tsv", caption="../report/scores.rst", category="2 Scores"),
    log:
        "logs/gather_scores/gather_scores.log",
    benchmark:
        "results/benchmarks/gather_scores/gather_scores.tsv"
    # A table of scores: too small for a job.
    localrule: True
    conda:
        "../envs/predict.yaml"
    threads: threads_of("gather_scores")
    resources:
        **resources_of("gather_scores"),
    message:
        "Gathering the scores"
    script:
        "../scripts/gather_scores.py"


rule report:
    input:
        evaluations=[*TESTED, *expand("results/evaluation/{query}.json", query=SCORED)],
        predictions=expand("results/predictions/{query}.parquet", query=QUERIES),
        mapped=[path for part in ("reference", *QUERIES) for path in mapped_chunks(part)],
        gene_loss=expand("results/mapped/{query}/gene_loss.json", query=ZERO_FILLED),
        raised=expand("results/mapped/{query}/raised.json", query=QUERIES if ADAPTS else []),
        # Genes shared with the model, if the loss cannot be estimated.
        common=expand("results/common/{query}.h5ad", query=[] if REFERENCE.has_held_out else MAPPED),
        # Coordinates of their cells.
        labeled=expand("results/labeled/{query}.h5ad", query=PLACED),
        label_genes=expand("results/predictions/{query}/label_genes.tsv", query=QUERIES),
        shifted_genes=expand("results/predictions/{query}/shifted_genes.tsv", query=QUERIES),
        inspected=expand("results/inspected/{dataset}.json", dataset=DATASETS),
        panel=MODALITY.with_intensities("results/panel.tsv"),
        datasets="results/datasets.tsv",
        labels=REFERENCE.file("reference/labels.json"),
        left_out=REFERENCE.file("reference/left_out.json"),
        decision=REFERENCE.file("reference/calibration.json"),
        genes=REFERENCE.file("genes.json"),
        history=REFERENCE.file("reference/history.csv"),
        packed=REFERENCE.identity,
        # Label agreement of several references.
        label_agreement=LABEL_AGREEMENT.get("label_agreement", []),
    output:
        report=report("results/report.html", caption="../report/page.rst", category="1 The whole report"),
        confusion=report(
            directory("results/figures/confusion"),
            patterns=["{cells_of}.svg"],
            caption="../report/confusion.rst",
            category="2 Scores",
            labels={"figure": "truth and answer", "cells of": "{cells_of}"},
        ),
        reliability=report(
            "results/figures/reliability.svg",
            caption="../report/reliability.rst",
            category="2 Scores",
            labels={"figure": "reliability curve", "cells of": "all that were scored"},
        ),
        maps=report(
            directory("results/figures/maps"),
            patterns=["{by}.png"],
            caption="../report/maps.rst",
            category="3 Maps",
            labels={"colored by": "{by}"},
        ),
        sections=report(
            directory("results/figures/spatial"),
            patterns=["{query}.png"],
            caption="../report/spatial.rst",
            category="3 Maps",
            labels={"colored by": "label, over coordinates of {query}"},
        ),
        training=report(
            "results/figures/training.svg",
            caption="../report/training.rst",
            category="4 Training",
            labels={"figure": "loss per epoch"},
        ),
    log:
        "logs/report/report.log",
    benchmark:
        "results/benchmarks/report/report.tsv"
    conda:
        "../envs/report.yaml"
    threads: threads_of("report")
    resources:
        **resources_of("report"),
    params:
        references=REFERENCES,
        queries=QUERIES,
        benchmarks="results/benchmarks",
        logs="logs",
        config=config,
        seed=config["seed"],
    message:
        "Drawing the report"
    script:
        "../scripts/report.py"


# A report of an unfinished run: finished and missing results.
rule report_so_far:
    log:
        "logs/report_so_far/report_so_far.log",
    benchmark:
        "results/benchmarks/report_so_far/report_so_far.tsv"
    localrule: True
    conda:
        "../envs/report.yaml"
    threads: threads_of("report_so_far")
    resources:
        **resources_of("report_so_far"),
    params:
        # No input: missing files would be made.
        files=plain_paths(rules.report.input),
        page="results/report_so_far.html",
        drawn="results/figures_so_far",
        references=REFERENCES,
        queries=QUERIES,
        benchmarks="results/benchmarks",
        logs="logs",
        config=config,
        seed=config["seed"],
    message:
        "Drawing the report of finished results"
    script:
        "../scripts/report_so_far.py"
