"""`make import-model`: pack a pre-trained model and its cells' latents as a reference."""
