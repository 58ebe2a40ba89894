"""Super-resolution recipes."""
