# From the reference's training cells to a model and classifiers.
#
# Reads:  results/common/reference.h5ad        its training cells
#         results/common/validation.h5ad       its validation cells
#         results/common/rare.h5ad             its cells of rare labels
#         results/mapped/{part}/{chunk}.parquet  latents of its training and validation cells
# Writes: results/reference/store.zarr         the training cells shuffled, for training from disk
#         results/reference/model/             a scvi-tools model folder
#         results/reference/history.csv        loss per epoch
#         results/reference/classifier/        XGBoost (UBJSON), linear model (npz), neighbors (parquet)
#         results/evaluation/label_agreement.tsv   agreement of the labels of several references


rule shuffle_reference:
    input:
        common="results/common/reference.h5ad",
    output:
        store=directory("results/reference/store.zarr"),
    log:
        "logs/shuffle_reference/shuffle_reference.log",
    benchmark:
        "results/benchmarks/shuffle_reference/shuffle_reference.tsv"
    conda:
        "../envs/model.yaml"
    threads: threads_of("shuffle_reference")
    resources:
        **resources_of("shuffle_reference"),
    params:
        seed=config["seed"],
    message:
        f"Shuffling the training cells of {', '.join(REFERENCES)} for training from disk"
    script:
        "../scripts/shuffle_reference.py"


rule train_reference_model:
    input:
        store="results/reference/store.zarr",
        # Transformation of intensities; copied into the model's folder.
        marker_report=MODALITY.with_intensities("results/genes.json"),
        # scANVI is trained on labels; cells with a coarser one are unlabeled for it.
        labels="results/reference/labels.json" if config["model"]["type"] == "scanvi" else [],
    output:
        model=directory("results/reference/model"),
        history="results/reference/history.csv",
    log:
        "logs/train_reference_model/train_reference_model.log",
    benchmark:
        "results/benchmarks/train_reference_model/train_reference_model.tsv"
    conda:
        "../envs/model.yaml"
    threads: threads_of("train_reference_model")
    resources:
        **resources_of("train_reference_model"),
    params:
        model=settings_of(ModelSettings, config),
        seed=config["seed"],
        # Not an output: snakemake deletes the outputs of a failed job, and a retry resumes from here.
        checkpoints=CHECKPOINTS,
    message:
        f"Training the reference model on {', '.join(REFERENCES)}"
    script:
        "../scripts/train_reference_model.py"


rule train_classifier:
    input:
        train=mapped_chunks("reference"),
        validation=mapped_chunks("validation"),
        common=REFERENCE.counts("common/reference.h5ad"),
        # For heads on expression: validation cells choose the shrinkage and stop boosted trees.
        validation_common=REFERENCE.counts("common/validation.h5ad"),
        # Cells of rare labels: their mean profiles separate such cells from other labels.
        rare=REFERENCE.counts("common/rare.h5ad"),
        model="results/reference/model",
        labels="results/reference/labels.json",
    output:
        # Labels of each reference's cells by the other references.
        **LABEL_AGREEMENT,
        classifier=directory("results/reference/classifier"),
    log:
        "logs/train_classifier/train_classifier.log",
    benchmark:
        "results/benchmarks/train_classifier/train_classifier.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("train_classifier")
    resources:
        **resources_of("train_classifier"),
    params:
        modality=config["modality"],
        prediction=settings_of(ClassifierSettings, config),
        seed=config["seed"],
    message:
        "Training the classifiers on the reference's latents and expression"
    script:
        "../scripts/train_classifier.py"


rule calibrate_classifier:
    input:
        train=mapped_chunks("reference"),
        validation=mapped_chunks("validation"),
        common=REFERENCE.counts("common/validation.h5ad"),
        classifier="results/reference/classifier",
        model="results/reference/model",
        genes="results/genes.tsv",
    output:
        decision="results/reference/calibration.json",
    log:
        "logs/calibrate_classifier/calibrate_classifier.log",
    benchmark:
        "results/benchmarks/calibrate_classifier/calibrate_classifier.tsv"
    conda:
        "../envs/predict.yaml"
    threads: threads_of("calibrate_classifier")
    resources:
        **resources_of("calibrate_classifier"),
    params:
        max_error=config["prediction"]["max_error"],
        seed=config["seed"],
    message:
        "Calibrating the classifiers on the reference's validation cells"
    script:
        "../scripts/calibrate_classifier.py"
