"""From a spec to its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from torch import nn

from components.contracts.errors import UsageError
from components.contracts.model_spec import ModelSpec, ResNetSpec, TextbookCnnSpec
from components.models.resnet import ResNet
from components.models.standardise import Standardise
from components.models.textbook_cnn import TextbookCnn


def build(
    spec: ModelSpec, *, height: int, width: int, mean: Sequence[float], std: Sequence[float], classes: int
) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        spec: the architecture.
        height: of an image, in pixels.
        width: of an image, in pixels.
        mean: of each channel, in units of 0..1; its length is the number of channels C.
        std: of each channel, in units of 0..1.
        classes: number of classes K.

    Returns:
        A module from uint8 images (N, H, W, C) to logits (N, K).

    Raises:
        UsageError: the images are too small for the architecture.
    """
    standardise = Standardise(mean, std)
    try:
        match spec:
            case TextbookCnnSpec():
                return TextbookCnn(spec, standardise, height, width, classes)
            case ResNetSpec():
                return ResNet(spec, standardise, classes)
            case _:
                assert_never(spec)
    except ValueError as error:
        raise UsageError(
            str(error), where="model.depth", got=spec.depth, next_step="lower model.depth, or prepare larger images"
        ) from error
