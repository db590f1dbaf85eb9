"""`e2 export`."""
