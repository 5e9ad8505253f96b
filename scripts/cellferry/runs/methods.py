"""Method versions of the rules; results of other versions are repeated.

Raise a rule's number in the commit that changes its results for the same inputs and settings, and add a row
to docs/upgrading.md. Later rules need no new number.
"""

FORMAT_VERSION = 7
"""Version of the result files that `pretrained` reads; raise it if older ones cannot be read."""

METHOD_VERSIONS = {
    "inspect_dataset": 7,
    "convert_to_chunks": 3,
    "split_reference": 4,
    "select_genes": 3,
    "import_reference": 4,
    "subset_reference": 2,
    "train_reference_model": 3,
    "fit_query_model": 3,
    "map_query": 3,
    "train_classifier": 6,
    "calibrate_classifier": 4,
    "estimate_missing_genes": 7,
    "raise_thresholds": 2,
    "predict_labels": 5,
    "gather_predictions": 4,
    "evaluate": 5,
    "leave_labels_out": 5,
}
"""Raised versions; other rules have version 1."""
