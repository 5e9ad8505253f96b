"""From counts to the latent space, by the encoder of a model as plain arrays."""
