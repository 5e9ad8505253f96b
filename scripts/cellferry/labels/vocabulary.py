"""Cells: which ones a dataset keeps, what their labels and batches are called, whether names repeat."""

UNKNOWN = "unknown"
"""The answer for a cell that no label fits; in the reference, a cell called so has no label."""

AMBIGUOUS = "ambiguous"
OUT_OF_REFERENCE = "out of reference"
LOW_QUALITY = "low quality"
RARE_LABEL = "rare label"
SUBTYPE_UNSURE = "subtype unsure"
"""Why a cell is unknown or, the last one, got a label of a coarser level."""

MAPPINGS = ("fitted", "unfitted")
"""Two mappings of a query: by the model fitted to its batches, and by the reference's model as it is."""

LEAF_LEVEL = "label"
"""Name of the finest level of labels; the levels above it have names of their own."""

SET_SEPARATOR = " | "
"""Separator of the labels in a prediction set."""

YAML_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}
"""How else booleans are written in a configuration."""
