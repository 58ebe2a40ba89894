"""Tracking small faces."""
