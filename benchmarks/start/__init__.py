"""`e2 start`."""
