"""Cytometry: channels and markers, panels, transformed intensities, FCS files."""
