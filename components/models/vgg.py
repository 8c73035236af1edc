"""VGG: Simonyan and Zisserman 2015, arXiv:1409.1556, table 1; the weights have torchvision's names.

Legend: N batch, H height, W width, C channels, F features' channels, h and w their size, P pooled size, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.contracts.architectures.vision import VggSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.standardise import Standardise

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)
DENSE = 4096
TIMM_NAMES = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


def build(config: VggSpec, input_spec: ImageInput, output_spec: ClassesOutput) -> Vgg:
    """A network for images of at least 32x32 pixels.

    Raises:
        UsageError: the images are smaller, too small for five poolings.
    """
    if min(input_spec.height, input_spec.width) < 32:
        raise UsageError(
            "the images are too small for five poolings",
            where="model.name",
            got=f"{input_spec.height}x{input_spec.width}",
            expected="at least 32x32",
            next_step="prepare larger images, or choose another model",
        )
    return Vgg(config, input_spec, output_spec.classes)


class Vgg(nn.Module):
    """Five stacks of convolutions with ReLU, each followed by a pooling; three dense layers.

    Args:
        config: depth and widths.
        input_spec: size and statistics of the images.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("classifier.6",)

    def __init__(self, config: VggSpec, input_spec: ImageInput, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(input_spec.mean, input_spec.std)
        layers: list[nn.Module] = []
        channels = input_spec.channels
        for count, width in zip(CONVOLUTIONS[config.depth], WIDTHS, strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, width // config.divide, 3, padding=1))
                layers += [nn.BatchNorm2d(width // config.divide)] if config.batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                channels = width // config.divide
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = AveragePool(input_spec.height >> 5, input_spec.width >> 5, config.pooled)
        dense = DENSE // config.divide
        self.classifier = nn.Sequential(
            nn.Linear(channels * config.pooled**2, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(dense, classes),
        )
        for module in self.modules():  # torchvision's initialisation
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias if module.bias is not None else torch.empty(0))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def fit_pretrained(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file under torchvision's names; timm's dense layers are convolutions with other names."""
        renamed = {}
        for name, value in weights.items():
            for theirs, ours in TIMM_NAMES.items():
                if name.startswith(f"{theirs}."):
                    name = name.replace(theirs, ours, 1)
                    value = value.flatten(1) if value.ndim == 4 else value  # (O, F, P, P) to (O, F * P * P)
            renamed[name] = value
        return renamed

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K)."""
        features = self.pool(self.features(self.standardise(images)))  # (N, F, P, P)
        logits: Tensor = self.classifier(features.flatten(1))  # (N, K)
        return logits


class AveragePool(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, which the exporter supports for any sizes.

    Args:
        height, width: h and w.
        pooled: P.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, pooled: int) -> None:
        super().__init__()
        self.register_buffer("rows", _shares(height, pooled), persistent=False)
        self.register_buffer("columns", _shares(width, pooled).T, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, F, h, w) to (N, F, P, P)."""
        return self.rows @ features @ self.columns


def _shares(in_features: int, out_features: int) -> Tensor:
    """The pooling matrix (out_features, in_features).

    Row i averages the places floor(i * in_features / out_features) to ceil((i + 1) * in_features / out_features).
    """
    shares = torch.zeros(out_features, in_features)
    for row in range(out_features):
        start, stop = row * in_features // out_features, -(-(row + 1) * in_features // out_features)
        shares[row, start:stop] = 1 / (stop - start)
    return shares
