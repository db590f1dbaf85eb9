"""`e2 compare`."""
