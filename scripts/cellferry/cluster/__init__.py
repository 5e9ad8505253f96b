"""SLURM: checks of requests before submission, states of failed jobs, packages of the rules.

Standard library and yaml only: the Snakefile imports it on a login node.
"""
