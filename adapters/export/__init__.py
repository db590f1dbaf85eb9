"""An encoder for programs that know nothing of E2: ONNX graphs, open_clip folders, transformers repositories, the hub."""
