"""`e2 quickstart`."""
