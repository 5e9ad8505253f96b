"""Commands beside the workflow: `make new` and `make doctor`."""
