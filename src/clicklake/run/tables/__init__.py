"""How each table is brought to the state after the run."""
