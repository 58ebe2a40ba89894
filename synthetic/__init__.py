"""Synthetic corridor clips with generated faces: rendering, ground truth and scoring."""
