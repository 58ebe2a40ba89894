"""What is read: files, folders, URLs, their names and start times."""
