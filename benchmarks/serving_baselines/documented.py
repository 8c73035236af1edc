"""BentoML's documented way: a torch model in a service whose API takes and gives an array.

bentoml serve benchmarks.serving_baselines.documented:Digits --port PORT
"""

from __future__ import annotations

import bentoml
import numpy as np
import torch
from torch import nn


def network() -> nn.Module:
    """The layers of pipelines/digits.yaml; speed does not depend on the weights."""

    def block(channels: int, width: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for inner in (channels, width):
            layers += [nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        return [*layers, nn.MaxPool2d(2)]

    head = [nn.Flatten(), nn.Linear(48 * 2 * 2, 10), nn.Softmax(dim=1)]
    return nn.Sequential(*block(1, 24), *block(24, 48), *head).eval()


@bentoml.service(workers=1)
class Digits:
    """Classifies one picture."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.model = network()

    @bentoml.api
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities (1, 10) of pixels (1, 8, 8, 1)."""
        with torch.inference_mode():
            images = torch.from_numpy(np.asarray(pixels, np.float32)).permute(0, 3, 1, 2) / 255
            return self.model(images).numpy()
