"""A run, from new files to the commit."""
