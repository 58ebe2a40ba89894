"""Measures and the scenes they are taken on."""

import pipeline as pipeline  # before any numeric library, whose threads it tells how to wait
