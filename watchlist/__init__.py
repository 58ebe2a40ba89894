"""The watchlist and the past: enrolment, matching thresholds, and every track that was seen."""
