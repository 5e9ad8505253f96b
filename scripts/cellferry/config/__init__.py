"""The configuration: its schema, its defaults, its problems, and the files it names.

Needs the standard library, yaml and jsonschema only: the Snakefile imports it on a login node.
"""
