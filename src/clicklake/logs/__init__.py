"""Raw logs: which files are new, and their rows through the parser."""
