"""Detector, verification and landmark recipes."""
