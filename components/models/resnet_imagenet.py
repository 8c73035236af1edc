"""Residual networks in the ImageNet form, from transformers: He et al. 2015, arXiv:1512.03385, table 1."""

from __future__ import annotations

from transformers import ResNetConfig

from components.contracts.architectures.vision import ImageNetResNetSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.models.transformers_classifier import TransformersClassifier

# Residual blocks of the four stages, by depth.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def build(
    config: ImageNetResNetSpec, input_spec: ImageInput, output_spec: ClassesOutput
) -> TransformersClassifier:  # fmt: skip
    """A network for images of any size."""
    bottleneck = config.depth >= 50
    expansion = 4 if bottleneck else 1
    hf_config = ResNetConfig(
        embedding_size=config.width,
        hidden_sizes=[expansion * config.width << stage for stage in range(4)],
        depths=list(BLOCKS[config.depth]),
        layer_type="bottleneck" if bottleneck else "basic",
    )
    return TransformersClassifier(hf_config, input_spec, output_spec.classes)
