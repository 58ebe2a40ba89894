"""Who is looked for, how they were enrolled, what counts as a match, and everything that was seen."""
