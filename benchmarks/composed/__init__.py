"""`e2 evaluate composed`."""
