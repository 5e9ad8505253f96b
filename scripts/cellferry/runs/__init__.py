"""Provenance of results: method versions, hashes, changes since the last run, start of a run.

Standard library only: the Snakefile imports it on a login node.
"""
