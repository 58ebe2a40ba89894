"""Making and labelling training data."""
