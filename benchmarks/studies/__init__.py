"""`e2 study NAME`: variants of one training, measured alike and compared with intervals over products and seeds."""
