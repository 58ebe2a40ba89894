"""Detectors and recognisers of others, and multi-scale search."""
