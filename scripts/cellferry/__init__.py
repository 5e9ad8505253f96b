"""Shared vocabulary of the cellferry scripts; imports nothing, so that a data rule never pays for torch."""
