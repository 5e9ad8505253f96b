"""`make compare`: two tables of labels for the same cells, what changed and why."""
