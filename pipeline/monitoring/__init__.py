"""Monitoring of a run: metrics, log, progress, summary."""
