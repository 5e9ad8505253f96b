"""Labels: their spelling, their hierarchy, their colors, and the columns that hold them."""
