"""`e2 evaluate grounding`."""
