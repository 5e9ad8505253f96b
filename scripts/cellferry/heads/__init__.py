"""Classifiers ("heads") on latents or expression, which give probabilities of labels."""
