"""SLURM: requests checked before jobs are sent, states of failed jobs, packages of the rules.

Needs the standard library only: the Snakefile imports it on a login node.
"""
