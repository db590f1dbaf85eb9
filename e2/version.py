"""The code version that results and checkpoints carry."""

__version__ = "0.1.0"
