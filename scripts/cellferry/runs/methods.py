"""Method versions of the rules; results of another version are made again.

Raise the number of a rule in the commit that changes its results for the same inputs and settings, and
add a row to docs/upgrading.md. Rules after it need no new number.
"""

FORMAT_VERSION = 2
"""Version of the result files that `pretrained` reads; to be raised when older ones cannot be read."""

METHOD_VERSIONS = {
    "demo_data": 1,
    "inspect_dataset": 3,
    "check_datasets": 1,
    "convert_to_chunks": 2,
    "merge_h5ad": 1,
    "split_reference": 1,
    "select_genes": 2,
    "select_markers": 1,
    "subset_reference": 1,
    "subset_common_genes": 1,
    "shuffle_reference": 1,
    "train_reference_model": 1,
    "import_reference": 1,
    "fit_query_model": 1,
    "map_query": 1,
    "estimate_missing_genes": 1,
    "train_classifier": 1,
    "calibrate_classifier": 1,
    "predict_labels": 2,
    "gather_predictions": 1,
    "compare_panels": 1,
    "compare_mappings": 2,
    "write_fcs": 1,
    "evaluate": 1,
    "leave_labels_out": 2,
    "gather_scores": 1,
    "report": 1,
}
