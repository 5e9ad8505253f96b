"""The report: its page, its figures, its maps, and what is counted for it."""
