"""`make pack`: a trained reference as one file."""
