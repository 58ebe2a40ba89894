"""Recipes exactly as the papers have them."""
