"""The configuration: schema, defaults, problems, and the files that it lists.

Standard library, yaml and jsonschema only: the Snakefile imports it on a login node.
"""
