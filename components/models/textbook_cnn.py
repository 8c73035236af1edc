"""The convolutional network of the textbook: convolution, batch normalisation, ReLU, pooling; dropout before dense.

LeCun et al. 1998 (doi:10.1109/5.726791) for the form, Ioffe and Szegedy 2015 (arXiv:1502.03167) for the
normalisation, Srivastava et al. 2014 (JMLR 15) for dropout.

Legend: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from components.contracts.architectures.cnn import TextbookCnnSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.standardise import Standardise


def build(spec: TextbookCnnSpec, given: ImageInput, wanted: ClassesOutput) -> TextbookCnn:
    """Images of one size.

    Raises:
        UsageError: they are too small for the depth.
    """
    standardise = Standardise(given.mean, given.std)
    try:
        return TextbookCnn(spec, standardise, given.height, given.width, wanted.classes)
    except ValueError as error:
        next_step = "lower model.depth, or prepare larger images"
        raise UsageError(str(error), where="model.depth", got=spec.depth, next_step=next_step) from error


class TextbookCnn(nn.Module):
    """Blocks that halve height and width and double the channels, then one or two dense layers.

    Args:
        spec: depth, width and dropout.
        standardise: the first layer; also says how many channels an image has.
        height: of an image, in pixels.
        width: of an image, in pixels.
        classes: number of classes K.

    Raises:
        ValueError: the image is too small for so many poolings.
    """

    def __init__(self, spec: TextbookCnnSpec, standardise: Standardise, height: int, width: int, classes: int) -> None:
        super().__init__()
        rows, columns = height >> spec.depth, width >> spec.depth
        if rows < 1 or columns < 1:
            raise ValueError(f"{spec.depth} blocks halve {height}x{width} pixels to nothing")
        self.standardise = standardise
        blocks: list[nn.Module] = []
        channels = standardise.mean.numel()
        for index in range(spec.depth):
            outward = spec.width << index
            blocks.append(_block(channels, outward, spec.convolutions))
            channels = outward
        self.blocks = nn.Sequential(*blocks)
        features = channels * rows * columns
        head: list[nn.Module] = [nn.Flatten(), nn.Dropout(spec.dropout)]
        if spec.hidden is not None:
            head += [nn.Linear(features, spec.hidden), nn.ReLU(inplace=True), nn.Dropout(spec.dropout)]
            features = spec.hidden
        self.head = nn.Sequential(*head, nn.Linear(features, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K)."""
        features: Tensor = self.blocks(self.standardise(images))  # (N, width * 2^(depth-1), H / 2^depth, W / 2^depth)
        logits: Tensor = self.head(features)  # (N, K)
        return logits


def _block(inward: int, outward: int, convolutions: int) -> nn.Sequential:
    """(N, inward, H, W) to (N, outward, H // 2, W // 2)."""
    layers: list[nn.Module] = []
    for index in range(convolutions):
        # No bias: batch normalisation subtracts the mean and brings its own.
        layers.append(nn.Conv2d(inward if index == 0 else outward, outward, kernel_size=3, padding=1, bias=False))
        layers.append(nn.BatchNorm2d(outward))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers, nn.MaxPool2d(2))
