"""Trained weights to an ONNX graph for serving, proved against the network on real examples.

The older exporter on purpose: it takes under a second and needs no more libraries; the newer one several.
Legend: N batch, H height, W width, C channels, K classes.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from components.contracts.errors import TrainingError
from components.contracts.package import Signature

INPUT, OUTPUT = "input", "probabilities"
TOLERANCE = 1e-5


class Classifier(nn.Module):
    """A network with its softmax: uint8 images (N, H, W, C) to probabilities (N, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, float32 (N, K)."""
        logits: Tensor = self.network(images)
        return logits.softmax(dim=1)


def probabilities(network: nn.Module, images: Tensor) -> Tensor:
    """What the trained network says: uint8 (N, H, W, C) to float32 (N, K)."""
    network.eval()
    with torch.inference_mode():
        answers: Tensor = Classifier(network)(images)
        return answers


def signature(image: tuple[int, int, int], classes: list[str]) -> Signature:
    """Names, types and shapes of the graph; `image` is (H, W, C)."""
    return Signature(
        input_name=INPUT,
        input_type="uint8",
        input_shape=[-1, *image],
        output_name=OUTPUT,
        output_type="float32",
        output_shape=[-1, len(classes)],
        classes=classes,
    )


def export(network: nn.Module, examples: Tensor, target: Path) -> Tensor:
    """Write the graph, with a free batch dimension, and compare it with the network.

    Args:
        network: on the CPU, with its final weights.
        examples: uint8 (N, H, W, C), N at least 1.

    Returns:
        The network's own probabilities for the examples, float32 (N, K).

    Raises:
        TrainingError: the graph does not say what the network says.
    """
    expected = probabilities(network, examples)  # (N, K)
    with warnings.catch_warnings():
        # The choice is explained above; onnxruntime proves the result below.
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The feature will be removed", category=DeprecationWarning)
        # A resnet's shortcuts skip every second pixel; such a slice stays in the graph instead of being folded.
        warnings.filterwarnings("ignore", message="Constant folding - Only steps=1", category=UserWarning)
        torch.onnx.export(
            Classifier(network).eval(),
            (examples[:1],),
            str(target),
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )
    check_parity(target, examples, expected)
    return expected


def check_parity(graph: Path, examples: Tensor, expected: Tensor) -> None:
    """Compare the graph's answers, one by one and as one batch, with the network's.

    Raises:
        TrainingError: some probability differs by more than 1e-5.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    images = examples.numpy()
    singly = np.concatenate([session.run([OUTPUT], {INPUT: images[row : row + 1]})[0] for row in range(len(images))])
    for found in (session.run([OUTPUT], {INPUT: images})[0], singly):
        difference = float(np.abs(found - expected.numpy()).max())
        if not difference <= TOLERANCE:
            raise TrainingError(
                "the exported graph does not say what the network says",
                where=graph.name,
                got=f"largest difference {difference:.2e}",
                expected=f"at most {TOLERANCE:.0e}",
                next_step="train with precision: fp32; if it stays, the architecture does not export",
            )
