"""`make import-model`: a model of others, with its cells' latents, as a packed reference."""
