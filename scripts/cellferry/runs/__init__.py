"""Provenance of results: method versions, hashes, changes since the last run, and the start of a run.

Needs the standard library only: the Snakefile imports it on a login node.
"""
