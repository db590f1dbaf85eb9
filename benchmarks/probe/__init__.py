"""`e2 evaluate probe`."""
