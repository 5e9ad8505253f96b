"""Commands beside the workflow: `make new`, `make doctor`, `make fetch` and `make references`."""
