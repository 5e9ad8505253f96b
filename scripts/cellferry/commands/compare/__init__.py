"""`make compare`: changes between two tables of labels for the same cells."""
