"""The data sets of composed retrieval, one protocol a file, each read into a `Task`."""
