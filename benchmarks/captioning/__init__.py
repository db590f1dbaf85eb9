"""`e2 evaluate captioning`."""
