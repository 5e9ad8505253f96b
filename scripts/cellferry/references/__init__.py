"""Packed references: the file that one lab hands to another."""
