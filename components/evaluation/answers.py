"""What the exported graph says about a prepared split. The graph that ships is the one that is evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from components.contracts.package import Signature
from components.evaluation.metrics import Labels, Probabilities

BATCH = 256


def answers(trained: Path, split: Path) -> tuple[Probabilities, Labels]:
    """Probabilities (N, K) and true labels (N,) of a split (folder with images.npy and labels.npy)."""
    signature = Signature.model_validate_json((trained / "signature.json").read_bytes())
    session = onnxruntime.InferenceSession((trained / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    images = np.load(split / "images.npy", mmap_mode="r", allow_pickle=False)  # uint8 (N, H, W, C)
    labels: Labels = np.load(split / "labels.npy", allow_pickle=False)  # (N,)
    probabilities = np.empty((len(labels), len(signature.classes)), np.float32)
    for begin in range(0, len(labels), BATCH):
        batch = np.ascontiguousarray(images[begin : begin + BATCH])
        probabilities[begin : begin + BATCH] = session.run([signature.output_name], {signature.input_name: batch})[0]
    return probabilities, labels
