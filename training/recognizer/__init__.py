"""Recogniser recipes."""
