"""Faults and surprises of a catalogue on one page: `e2 data check`."""
