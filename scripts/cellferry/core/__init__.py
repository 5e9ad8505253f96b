"""Basics of every script: files written whole or not at all, text, logs, progress.

Needs the standard library only: the Snakefile imports it on a login node.
"""
