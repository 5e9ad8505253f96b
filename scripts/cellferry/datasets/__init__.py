"""A user's datasets: several files as one, annotation, cell filters, raw counts."""
