"""`e2 evaluate retrieval`."""
