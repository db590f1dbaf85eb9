"""`e2 wise-ft`."""
