"""`make new`: write a configuration for given files."""
