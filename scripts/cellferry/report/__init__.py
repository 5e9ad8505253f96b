"""The report: page, figures, maps and counts."""
