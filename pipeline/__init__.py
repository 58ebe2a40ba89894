"""The engine: stages in groups, run inline or on Ray. It knows nothing of faces."""

__version__ = "0.1.0"
