"""An image classifier of transformers behind `Standardise`: what resnet_imagenet, convnext and vit share.

Legend: N batch, H height, W width, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import AutoModelForImageClassification, PretrainedConfig

from components.contracts.shapes import ImageInput
from components.models.standardise import Standardise


class TransformersClassifier(nn.Module):
    """Standardised pixels through one of transformers' classifiers; weights have transformers' names below `body`.

    Args:
        hf_config: transformers' config of the classifier.
        input_spec: size and statistics of the images.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("body.classifier",)

    def __init__(self, hf_config: PretrainedConfig, input_spec: ImageInput, classes: int) -> None:
        super().__init__()
        hf_config.num_channels, hf_config.num_labels = input_spec.channels, classes
        self.standardise = Standardise(input_spec.mean, input_spec.std)
        self.body = AutoModelForImageClassification.from_config(hf_config)

    @property
    def hf_config(self) -> PretrainedConfig:
        """transformers' config, which an export writes."""
        config: PretrainedConfig = self.body.config
        return config

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K)."""
        logits: Tensor = self.body(self.standardise(images)).logits  # (N, K)
        return logits
