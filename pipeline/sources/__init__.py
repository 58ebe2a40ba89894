"""Sources: files, folders and URLs, their names and start times."""
