"""The reference model. The only package that imports torch, lightning, scvi or annbatch."""
