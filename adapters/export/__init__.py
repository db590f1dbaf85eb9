"""Exports encoders for other programs: ONNX graphs, open_clip folders, transformers repositories, the hub."""
