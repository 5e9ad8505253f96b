"""Formats of datasets: names in the configuration, and modules that read them.

A new format needs a module in `cellferry.formats` and a line here.
"""

FORMATS = {
    # Before h5ad: both have obs and var.
    "h5mu": "h5mu",
    "h5ad": "h5ad",
    "zarr": "zarr_store",
    "loom": "loom",
    "h5seurat": "h5seurat",
    "10x_h5": "tenx_h5",
    "10x_mtx": "tenx_mtx",
    "bpcells": "bpcells",
    "fcs": "fcs",
    "r": "r",
    "parquet": "parquet",
    # Recognized only by the ending, therefore last.
    "csv": "table",
}
"""Modules by format; the first that recognizes a file reads it."""

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".tab", ".mtx")
"""Endings of files that are read from start to end, and converted by one job."""
