"""A corridor of people who do not exist: the clip, its truth, its scoring."""
