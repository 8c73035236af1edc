"""Residual networks in the CIFAR form: He et al. 2015, arXiv:1512.03385, section 4.2.

6n+2 layers in three stages, shortcuts without parameters (option A). The public CIFAR-10 weights of this form fit with
width 16.

Legend: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.cnn import ResNetSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.models.standardise import Standardise


def build(config: ResNetSpec, input_spec: ImageInput, output_spec: ClassesOutput) -> ResNet:
    """A network for images of any size: the features are averaged over all positions."""
    return ResNet(config, Standardise(input_spec.mean, input_spec.std), output_spec.classes)


class ResNet(nn.Module):
    """A convolution, three stages of n blocks (the second and third halve height and width), mean, dense layer.

    Args:
        config: depth 6n+2, width of the first stage, dropout.
        standardise: the first layer, which has the number of channels.
        classes: number of classes K.
    """

    def __init__(self, config: ResNetSpec, standardise: Standardise, classes: int) -> None:
        super().__init__()
        blocks = (config.depth - 2) // 6
        narrow, middle, wide = config.width, 2 * config.width, 4 * config.width
        self.standardise = standardise
        self.conv1 = nn.Conv2d(standardise.mean.numel(), narrow, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.layer1 = _stage(narrow, narrow, blocks, stride=1)
        self.layer2 = _stage(narrow, middle, blocks, stride=2)
        self.layer3 = _stage(middle, wide, blocks, stride=2)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(wide, classes)
        for module in self.modules():
            # He et al. 2015, arXiv:1502.01852, as in the section above.
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K)."""
        features = functional.relu(self.bn1(self.conv1(self.standardise(images))), inplace=True)  # (N, w, H, W)
        features = self.layer1(features)  # (N, w, H, W)
        features = self.layer2(features)  # (N, 2w, H/2, W/2)
        features = self.layer3(features)  # (N, 4w, H/4, W/4)
        pooled = features.mean(dim=(2, 3))  # (N, 4w)
        logits: Tensor = self.linear(self.dropout(pooled))  # (N, K)
        return logits


class ResidualBlock(nn.Module):
    """relu(x' + f(x)), f two 3x3 convolutions; x' is x, subsampled and padded with zeros if the shape changes."""

    def __init__(self, in_features: int, out_features: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_features, out_features, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_features)
        self.conv2 = nn.Conv2d(out_features, out_features, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_features)
        self.stride = stride
        self.extra = out_features - in_features

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_features, H, W) to (N, out_features, ceil(H / stride), ceil(W / stride))."""
        residual = functional.relu(self.bn1(self.conv1(features)), inplace=True)
        residual = self.bn2(self.conv2(residual))
        return functional.relu(residual + self.shortcut(features), inplace=True)

    def shortcut(self, features: Tensor) -> Tensor:
        """Option A of the paper: every second row and column; new channels are zero, half before and half after."""
        if self.stride == 1 and self.extra == 0:
            return features
        before = self.extra // 2
        thinned = features[:, :, :: self.stride, :: self.stride]
        return functional.pad(thinned, (0, 0, 0, 0, before, self.extra - before))


def _stage(in_features: int, out_features: int, blocks: int, stride: int) -> nn.Sequential:
    first = ResidualBlock(in_features, out_features, stride)
    return nn.Sequential(first, *(ResidualBlock(out_features, out_features, 1) for _ in range(blocks - 1)))
