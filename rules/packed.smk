# From a packed reference to what the rules of a reference would have made. Included where the key `pretrained`
# names one.
#
# Reads:  NAME-VERSION.cellferry.zip
# Writes: results/packed/                  the files that it holds, in their places
#         results/packed/reference.json    what it says of itself, and the SHA-256 of the archive


rule unpack_reference:
    input:
        archive=masked(config["pretrained"]),
    output:
        **REFERENCE.unpacked,
        **(
            {"held_out_model": directory(REFERENCE.file("mapped/validation/model"))}
            if REFERENCE.has_held_out
            else {}
        ),
        model=directory(REFERENCE.file("reference/model")),
        classifier=directory(REFERENCE.file("reference/classifier")),
    log:
        "logs/unpack_reference/unpack_reference.log",
    benchmark:
        "results/benchmarks/unpack_reference/unpack_reference.tsv"
    # Copies a file: not worth a job.
    localrule: True
    conda:
        "../envs/predict.yaml"
    threads: threads_of("unpack_reference")
    resources:
        **resources_of("unpack_reference"),
    params:
        folder=REFERENCE.folder,
    message:
        f"Unpacking the reference {config['pretrained']}"
    script:
        "../scripts/unpack_reference.py"
