"""Evaluation: metrics, test scenes and benchmarks."""

import pipeline as pipeline  # must precede every numeric library: it sets how their threads wait
