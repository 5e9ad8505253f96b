"""Constants of the table of shifted genes and its readers."""

MIN_CELLS = 20
"""Minimum of a label's cells on either side for a test of shift."""

IN_MOST_LABELS = "(most labels)"
"""Name of the row of shared shifts in the table of shifted genes."""
