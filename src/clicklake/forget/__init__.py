"""Taking a person out of the lake."""
