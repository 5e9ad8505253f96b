"""Genes and markers: their ids, which of them the model takes, files subset to them."""
