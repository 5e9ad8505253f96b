"""The formats of datasets: the name of each in the configuration, and the module that reads it.

A new one is a module of `cellferry.formats` and a line here.
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
    # By its ending alone, therefore last.
    "csv": "table",
}
"""Module by format; the first one that recognizes a file has it."""

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".tab", ".mtx")
"""Endings of files that can only be read from front to back, and are converted by one job."""
