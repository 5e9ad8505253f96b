"""Files between rules: h5ad with counts, parquet with latents, JSON."""
