"""Basics of all scripts: atomic files, text, logs, progress.

Needs the standard library, yaml and jsonschema only: the Snakefile imports it on a login node.
"""
