"""Data sets of composed retrieval, one protocol per file, each read into a `Task`."""
