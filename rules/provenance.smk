# What results depend on besides the files that rules make. Included last.

# Snakemake compares params by value alone, so that it misses two keys that swap their values, and files of the user's by
# time alone, so that it misses an older one in the place of another. This param of every rule tells them apart.
for made in workflow.rules:
    if made.output:
        made.set_params(provenance=provenance(made))
