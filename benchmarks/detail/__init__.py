"""`e2 evaluate detail`."""
