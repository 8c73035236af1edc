"""Networks of transformers for images, with their names for weights: ResNet, ConvNeXt, ViT.

He et al. 2015, arXiv:1512.03385; Liu et al. 2022, arXiv:2201.03545; Dosovitskiy et al. 2021, arXiv:2010.11929.

Legend: N batch, H height, W width, C channels, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import assert_never

from torch import Tensor, nn
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    ConvNextV2Config,
    PretrainedConfig,
    ResNetConfig,
    ViTConfig,
)

from components.contracts.architectures.vision import ConvNextSpec, ImageNetResNetSpec, VitSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.standardise import Standardise

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
VIT_NAMES = (
    (r"\bencoder\.layer\.(\d+)\.attention\.attention\.(q|k|v)(uery|ey|alue)\.", r"layers.\1.attention.\2_proj."),
    (r"\bencoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layers.\1.attention.o_proj."),
    (r"\bencoder\.layer\.(\d+)\.intermediate\.dense\.", r"layers.\1.mlp.fc1."),
    (r"\bencoder\.layer\.(\d+)\.output\.dense\.", r"layers.\1.mlp.fc2."),
    (r"\bencoder\.layer\.(\d+)\.", r"layers.\1."),
)


def build(spec: ImageNetResNetSpec | ConvNextSpec | VitSpec, given: ImageInput, wanted: ClassesOutput) -> ImageNet:
    """Images of any size that the network's steps leave something of.

    Raises:
        UsageError: they leave nothing, or patches do not divide the image.
    """
    match spec:
        case ImageNetResNetSpec():
            return ImageNet(_resnet(spec), given, wanted.classes)
        case ConvNextSpec():
            return ImageNet(_convnext(spec, given), given, wanted.classes)
        case VitSpec():
            return ImageNet(_vit(spec, given), given, wanted.classes)
        case _:
            assert_never(spec)


class ImageNet(nn.Module):
    """Standardised pixels through one of transformers' classifiers.

    Args:
        config: of the classifier.
        given: images' size and statistics.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("body.classifier",)

    def __init__(self, config: PretrainedConfig, given: ImageInput, classes: int) -> None:
        super().__init__()
        config.num_channels, config.num_labels = given.channels, classes
        self.standardise = Standardise(given.mean, given.std)
        self.body = AutoModelForImageClassification.from_config(config)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K)."""
        logits: Tensor = self.body(self.standardise(images)).logits  # (N, K)
        return logits

    def fit_pretrained(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A ViT's weights have other names in files made before transformers 5."""
        renamed = {}
        for name, value in weights.items():
            if self.body.config.model_type == "vit":
                for old, new in VIT_NAMES:
                    name = re.sub(old, new, name)
            renamed[name] = value
        return renamed


def _resnet(spec: ImageNetResNetSpec) -> PretrainedConfig:
    thick = 4 if spec.depth >= 50 else 1
    return ResNetConfig(
        embedding_size=spec.width,
        hidden_sizes=[thick * spec.width << stage for stage in range(4)],
        depths=list(BLOCKS[spec.depth]),
        layer_type="bottleneck" if spec.depth >= 50 else "basic",
    )


def _convnext(spec: ConvNextSpec, given: ImageInput) -> PretrainedConfig:
    least = spec.patch << (len(spec.widths) - 1)
    if min(given.height, given.width) < least:
        raise UsageError(
            "the stages leave nothing of so small an image",
            where="model.patch",
            got=f"{given.height}x{given.width}",
            expected=f"at least {least}x{least}",
            next_step="lower model.patch, give fewer stages, or prepare larger images",
        )
    kind = ConvNextConfig if spec.version == 1 else ConvNextV2Config
    return kind(
        patch_size=spec.patch,
        num_stages=len(spec.widths),
        hidden_sizes=list(spec.widths),
        depths=list(spec.depths),
        drop_path_rate=spec.drop_path,
        image_size=given.height,
    )


def _vit(spec: VitSpec, given: ImageInput) -> PretrainedConfig:
    if given.height % spec.patch or given.width % spec.patch:
        raise UsageError(
            "patches do not divide the image",
            where="model.patch",
            got=f"{spec.patch} of {given.height}x{given.width}",
            next_step="give another model.patch, or prepare images of another size",
        )
    return ViTConfig(
        image_size=(given.height, given.width),
        patch_size=spec.patch,
        num_hidden_layers=spec.depth,
        hidden_size=spec.width,
        num_attention_heads=spec.heads,
        intermediate_size=spec.inner or 4 * spec.width,
        hidden_dropout_prob=spec.dropout,
        attention_probs_dropout_prob=spec.dropout,
    )
