"""`make new`: a configuration written from the files that it names."""
