"""Code version recorded in results and checkpoints."""

__version__ = "0.1.0"
