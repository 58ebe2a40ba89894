"""Training recipes of published methods, as close to the papers as possible."""
