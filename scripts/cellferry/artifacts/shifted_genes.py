"""What the table of shifted genes and those who show it share."""

MIN_CELLS = 20
"""Cells of a label on either side, below which no shift is told from chance."""

IN_MOST_LABELS = "(most labels)"
"""Stands, in the table of shifted genes, for the labels that share a shift."""
