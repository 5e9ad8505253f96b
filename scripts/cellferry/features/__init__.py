"""Genes and markers: ids, choice for the model, and subsets of files."""
