"""Measures and the scenes they are taken on."""
