"""The classifiers ("heads"): each learns from latents or expression, and gives probabilities of labels."""
