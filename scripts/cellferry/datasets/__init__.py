"""The user's datasets: several files as one, their annotation, which of their cells are used, raw counts."""
