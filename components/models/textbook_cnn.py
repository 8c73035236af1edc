"""The textbook convolutional network: convolution, batch normalisation, ReLU, pooling; dropout before dense layers.

Form: LeCun et al. 1998, doi:10.1109/5.726791; normalisation: Ioffe and Szegedy 2015, arXiv:1502.03167; dropout:
Srivastava et al. 2014, JMLR 15.

Legend: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from components.contracts.architectures.cnn import TextbookCnnSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models import initialisation
from components.models.standardise import Standardise


def build(config: TextbookCnnSpec, input_spec: ImageInput, output_spec: ClassesOutput) -> TextbookCnn:
    """A network for images of one size.

    Raises:
        UsageError: the images are too small for the depth.
    """
    standardise = Standardise(input_spec.mean, input_spec.std)
    try:
        return TextbookCnn(config, standardise, input_spec.height, input_spec.width, output_spec.classes)
    except ValueError as error:
        next_step = "lower model.depth, or prepare larger images"
        raise UsageError(str(error), where="model.depth", got=config.depth, next_step=next_step) from error


class TextbookCnn(nn.Module):
    """Blocks that halve height and width and double the channels, then one or two dense layers.

    Args:
        config: depth, width and dropout.
        standardise: the first layer, which has the number of channels.
        height: of an image, in pixels.
        width: of an image, in pixels.
        classes: number of classes K.

    Raises:
        ValueError: the image is too small for the number of poolings.
    """

    def __init__(
        self, config: TextbookCnnSpec, standardise: Standardise, height: int, width: int, classes: int
    ) -> None:
        super().__init__()
        rows, columns = _size_after(height, config), _size_after(width, config)
        if rows < 1 or columns < 1:
            raise ValueError(f"an image of {height}x{width} pixels is too small for {config.depth} blocks")
        self.standardise = standardise
        blocks: list[nn.Module] = []
        channels = standardise.mean.numel()
        for index in range(config.depth):
            out_features = config.width << index
            blocks.append(_block(channels, out_features, config))
            channels = out_features
        self.blocks = nn.Sequential(*blocks)
        features = channels * rows * columns
        flat = config.dropout if config.flatten_dropout is None else config.flatten_dropout
        head: list[nn.Module] = [nn.Flatten(), nn.Dropout(flat)]
        if config.hidden is not None:
            head += [nn.Linear(features, config.hidden), nn.ReLU(inplace=True), nn.Dropout(config.dropout)]
            features = config.hidden
        self.head = nn.Sequential(*head, nn.Linear(features, classes))
        if config.initialisation == "glorot":
            initialisation.glorot(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, H, W, C) of 0..255 to logits (N, K)."""
        features: Tensor = self.blocks(self.standardise(images))  # (N, width * 2^(depth-1), H / 2^depth, W / 2^depth)
        logits: Tensor = self.head(features)  # (N, K)
        return logits


def _size_after(side: int, config: TextbookCnnSpec) -> int:
    """Height or width after all blocks; below 1 if the image is too small."""
    for _ in range(config.depth):
        side = (side - (2 * config.convolutions if config.padding == "valid" else 0)) // 2
    return side


def _block(in_features: int, out_features: int, config: TextbookCnnSpec) -> nn.Sequential:
    """(N, in_features, H, W) to (N, out_features, h // 2, w // 2), h and w the size after the convolutions."""
    layers: list[nn.Module] = []
    for index in range(config.convolutions):
        channels = in_features if index == 0 else out_features
        layers.append(nn.Conv2d(channels, out_features, 3, padding=config.padding, bias=config.bias))
        norm = nn.BatchNorm2d(out_features, eps=config.norm_epsilon, momentum=config.norm_momentum)
        activation = nn.ReLU(inplace=True)
        layers += [norm, activation] if config.order == "norm-activation" else [activation, norm]
    return nn.Sequential(*layers, nn.MaxPool2d(2))
