"""Which cells are used: of several references, for training, validation and test, of a sketch."""
