"""What follows from clean rows: pure functions, without files and engines of their own."""
