"""Where a packaged model runs: a BentoML service that needs bentoml, onnxruntime, numpy and its task's, no torch."""
