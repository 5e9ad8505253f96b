# From a packed reference to the files of a reference. Included if the key `pretrained` names one.
#
# Reads:  NAME-VERSION.cellferry.zip
# Writes: results/packed/                  its files, in their places
#         results/packed/reference.json    its description, and the SHA-256 of the archive


rule unpack_reference:
    input:
        archive=masked(config["pretrained"]),
    output:
        **REFERENCE.unpacked_files,
        **{name: directory(folder) for name, folder in REFERENCE.unpacked_folders.items()},
    log:
        "logs/unpack_reference/unpack_reference.log",
    benchmark:
        "results/benchmarks/unpack_reference/unpack_reference.tsv"
    # Copies a file: too small for a job.
    localrule: True
    conda:
        "../envs/predict.yaml"
    threads: threads_of("unpack_reference")
    resources:
        **resources_of("unpack_reference"),
    params:
        folder=REFERENCE.folder,
    message:
        f"Unpacking the reference {REFERENCE.packed.full_name}"
    script:
        "../scripts/unpack_reference.py"
