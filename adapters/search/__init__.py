"""Search in a catalogue: an index of its products' vectors, tags and thumbnails, and the app on top."""
