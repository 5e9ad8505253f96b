"""Basics of every script: files written whole or not at all, text, logs, progress.

Needs the standard library, yaml and jsonschema only: the Snakefile imports it on a login node.
"""
