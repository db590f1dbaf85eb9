"""`e2 embed`: the vectors of a catalogue in parquet, written and read."""
