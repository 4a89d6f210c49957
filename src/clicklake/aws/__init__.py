"""From a laptop to a finished job on EMR, and back to nothing."""
