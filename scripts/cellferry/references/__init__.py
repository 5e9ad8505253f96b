"""Packed references, each a trained reference in one file: which are known, where they are, how to get them.

The Snakefile imports it on a login node: the standard library, yaml and jsonschema only, but for `fetching`.
"""
