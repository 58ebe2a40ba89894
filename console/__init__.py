"""The report of a run, and the page and API of `serve`."""
