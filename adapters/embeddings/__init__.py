"""`e2 embed`: vectors of a catalogue in parquet, written and read."""
