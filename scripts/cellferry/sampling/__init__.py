"""Choice of cells: across references, for training, validation and test, and sketches."""
