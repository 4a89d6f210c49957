"""Questions to a lake: SQL, notebooks, proofs."""
