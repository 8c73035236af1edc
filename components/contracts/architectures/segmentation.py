"""Networks that give each pixel a class."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from components.contracts.architectures.architecture import ArchitectureSpec


class SegmentationUNetSpec(ArchitectureSpec):
    """The U-Net of Ronneberger et al. 2015, arXiv:1505.04597: convolutions down to few positions, and up again with the
    features of each level beside those from below.

    Not as in the paper: convolutions are padded, so that the mask has the size of the image, and are followed by batch
    normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Args:
        width: channels of the first level; they double from level to level. 64 in the paper.
        depth: how often height and width are halved; 4 in the paper. 2 to the power of it divides height and width.
        dropout: dropout rate at the lowest level.
    """

    module: ClassVar[str] = "components.models.unet_segmentation"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"mask"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["cnn"]
    name: Literal["unet-segmentation"]
    width: int = Field(default=16, ge=1, le=512)
    depth: int = Field(default=4, ge=1, le=6)
    dropout: float = Field(default=0.1, ge=0, lt=1)
