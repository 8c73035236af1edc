"""`modelyard tune`: trials of a pipeline, several side by side, each a training with its own fingerprint."""
