"""Encoders for benchmark programs and libraries of others, each by the other program's own interface."""
