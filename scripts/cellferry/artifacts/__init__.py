"""Files that pass between rules: h5ad with counts, parquet with latents."""
