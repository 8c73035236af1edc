"""Networks that find objects in images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from components.contracts.architectures.architecture import ArchitectureSpec


class CenterSpec(ArchitectureSpec):
    """A convolutional detector without anchors: every object is the peak at its centre, and four distances.

    Zhou et al. 2019 (CenterNet, arXiv:1904.07850) for the peaks; Liu et al. 2020 (TTFNet, arXiv:1909.00700) for the
    distances, which are learned all around the centre: it needs fewer epochs. The body is a small residual network with
    a feature pyramid (Lin et al. 2017, arXiv:1612.03144).

    Args:
        width: channels of the first stage; they double from stage to stage.
        blocks: residual blocks a stage.
        stages: number of stages; the first is at a quarter of the image's size, each halves it.
        stride: pixels from one place of the heat map to the next.
        features: channels of the pyramid and of the head.
        kept: at most so many peaks an image leave the network.
    """

    module: ClassVar[str] = "components.models.center"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"boxes"})

    family: Literal["cnn"]
    name: Literal["center"]
    width: int = Field(default=24, ge=1, le=512)
    blocks: int = Field(default=1, ge=1, le=16)
    stages: int = Field(default=4, ge=2, le=5)
    stride: Literal[4, 8] = 4
    features: int = Field(default=48, ge=1, le=1024)
    kept: int = Field(default=100, ge=1, le=1000)
