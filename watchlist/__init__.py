"""The watchlist and the past: enrolment, matching thresholds, and the templates of all tracks."""
