"""`e2 evaluate gap`."""
