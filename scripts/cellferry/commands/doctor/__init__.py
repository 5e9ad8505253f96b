"""`make doctor`: checks of this machine, one module per area."""
