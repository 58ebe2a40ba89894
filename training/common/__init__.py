"""Code shared by all training recipes."""
