"""cellferry: transfer cell-type labels from an annotated single-cell reference to queries of any size."""

from snakemake.utils import min_version

min_version("9.27")

# Snakemake joins the top folder of a repository with a slash too many, where gitfile() names this file.
if isinstance(workflow.included_stack[-1], gitfile):
    workflow.included_stack[-1].path = f"./{workflow.included_stack[-1].path}"


# A config on the command line replaces the shipped one; the two are not merged.
if "datasets" not in config:

    configfile: "config/config.yaml"


# First page of `snakemake --report`.
report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/reference.smk"
include: "rules/query.smk"
include: "rules/report.smk"
include: "rules/plan.smk"


if MODALITY.has_intensities:

    include: "rules/cytometry.smk"


if REFERENCE.is_imported:

    include: "rules/imported.smk"


if REFERENCE.packed:

    include: "rules/packed.smk"


if not config["surgery"]["fit"]:

    include: "rules/unfitted.smk"


include: "rules/hooks.smk"


rule all:
    default_target: True
    input:
        "results/report.html",
        "results/evaluation/scores.tsv",
        expand("results/predictions/{query}.{kind}", query=QUERIES, kind=["parquet", "csv.gz"]),
        expand("results/labeled/{query}.{kind}", query=QUERIES, kind=["h5ad", "cas.json"]),
        expand("results/fcs/{query}", query=MODALITY.with_intensities(QUERIES)),
    localrule: True
