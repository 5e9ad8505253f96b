"""Packed references (trained references in one file): registries, cache and download.

The Snakefile imports it on a login node: standard library, yaml and jsonschema only, except in `fetching`.
"""
