# From a pre-trained model and its latents to the files of a reference. Included if the key `pretrained` is such
# a model.
#
# Reads:  the files in `pretrained`
# Writes: results/genes.tsv, genes.json         the model's genes
#         results/reference/model/              the model, with the workflow's names of columns; for cytometry
#                                               also transformation.json, the scaling of its input
#         results/reference/labels.json, history.csv (empty)
#         results/mapped/{reference,validation,test}/0.parquet   the latents of its cells


# Escaped, since Snakemake formats messages.
MODEL_IN_MESSAGE = config["pretrained"]["model"].replace("{", "{{").replace("}", "}}")


# The other rules make the same files from a reference's counts.
ruleorder: import_reference > select_genes > split_reference > train_reference_model > map_query


if MODALITY.has_intensities:

    ruleorder: import_reference > select_markers


rule import_reference:
    input:
        model=masked(f"{config['pretrained']['model']}/model.pt"),
        latents=masked(config["pretrained"]["latents"]),
        transformation=transformation_beside(config["pretrained"]["model"]),
        scaling=optional(config["pretrained"]["scaling"]),
        rename=label_table("rename"),
        parents=label_table("parents"),
        ontology=label_table("ontology"),
        is_a=is_a_file(),
    output:
        genes="results/genes.tsv",
        report="results/genes.json",
        model=directory("results/reference/model"),
        labels="results/reference/labels.json",
        history="results/reference/history.csv",
        train="results/mapped/reference/0.parquet",
        validation="results/mapped/validation/0.parquet",
        test="results/mapped/test/0.parquet",
    log:
        "logs/import_reference/import_reference.log",
    benchmark:
        "results/benchmarks/import_reference/import_reference.tsv"
    conda:
        "../envs/model.yaml"
    threads: threads_of("import_reference")
    resources:
        **resources_of("import_reference"),
    params:
        pretrained=settings_of(PretrainedSettings, config),
        split=settings_of(SplitSettings, config),
        labels=settings_of(LabelSettings, config),
        seed=config["seed"],
        modality=config["modality"],
        cofactor=config["cytometry"]["cofactor"],
    message:
        f"Importing the pre-trained model in {MODEL_IN_MESSAGE} as the reference"
    script:
        "../scripts/import_reference.py"
