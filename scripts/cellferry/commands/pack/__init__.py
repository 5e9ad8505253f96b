"""`make pack`: pack a trained reference as one file."""
