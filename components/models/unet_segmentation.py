"""The U-Net for segmentation: Ronneberger et al. 2015, arXiv:1505.04597; padded convolutions, batch normalisation.

The U-Net of diffusion is in unet.py. Legend: N batch, C channels, H height, W width, D channels of a level, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from components.contracts.architectures.segmentation import SegmentationUNetSpec
from components.contracts.shapes import ImageInput, MaskOutput
from components.core.errors import UsageError
from components.models.standardise import Standardise


def build(config: SegmentationUNetSpec, input_spec: ImageInput, output_spec: MaskOutput) -> SegmentationUNet:
    """A network for images whose height and width 2^depth divides.

    Raises:
        UsageError: it does not.
    """
    factor = 1 << config.depth
    if input_spec.height % factor or input_spec.width % factor:
        raise UsageError(
            f"the size of the images is no multiple of {factor}",
            where="model.depth",
            got=f"{input_spec.height}x{input_spec.width}, depth {config.depth}",
            next_step=f"lower model.depth, or set height and width of the dataset's input: to multiples of {factor}",
        )
    return SegmentationUNet(config, Standardise(input_spec.mean, input_spec.std), output_spec.classes)


class SegmentationUNet(nn.Module):
    """Levels down by max pooling, levels up by transposed convolutions beside the features of the level down.

    Args:
        config: channels and depth.
        standardise: the first layer, which has the number of channels.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("head",)

    def __init__(self, config: SegmentationUNetSpec, standardise: Standardise, classes: int) -> None:
        super().__init__()
        widths = [config.width << level for level in range(config.depth + 1)]
        self.standardise = standardise
        channels = [standardise.mean.numel(), *widths]
        self.down = nn.ModuleList(convolutions(channels[level], widths[level]) for level in range(config.depth + 1))
        self.shrink = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(config.dropout)
        self.grow, self.up = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(config.depth)):
            self.grow.append(nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2))
            self.up.append(convolutions(2 * widths[level], widths[level]))
        self.head = nn.Conv2d(config.width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)  # the paper's section 3

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K, H, W)."""
        features = self.standardise(images)  # (N, C, H, W)
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = cast(Tensor, block(features if level == 0 else self.shrink(features)))  # (N, D, H / 2^level, ..)
            seen.append(features)
        features = self.dropout(seen.pop())
        for grow, block in zip(self.grow, self.up, strict=True):
            features = block(torch.cat([seen.pop(), grow(features)], dim=1))
        logits: Tensor = self.head(features)  # (N, K, H, W)
        return logits


def convolutions(in_features: int, out_features: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch normalisation and ReLU; (N, in_features, H, W) to (N, out_features, H, W)."""
    layers: list[nn.Module] = []
    for channels in (in_features, out_features):
        layers.append(nn.Conv2d(channels, out_features, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(out_features), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
