"""Predicted labels against the truth: counts, metrics, summary, and the simple baseline."""
