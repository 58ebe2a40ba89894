"""What people look at: the report of a run, and the page and API that `serve` offers."""
