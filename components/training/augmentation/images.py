"""All augmentations of images that have no geometric target.

Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from components.contracts.augment_spec import AugmentSpec
from components.training.augmentation import color, geometry
from components.training.augmentation.erasing import erased
from components.training.augmentation.rand_augment import rand_augmented
from components.training.augmentation.resized_crop import cropped, draw_crops


def augment(images: Tensor, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Augment each image of a batch by its own draw, without mixup and CutMix.

    Args:
        images: uint8 (N, H, W, C), on any device; not modified.
        generator: a CPU generator; the same state gives the same augmentation on every device.

    Returns:
        (N, H, W, C), uint8; or float32 in 0..255 if pixels are interpolated or change their levels.
    """
    if spec.resized_crop is not None:
        images = cropped(images, draw_crops(images.shape, spec.resized_crop, generator))
    if spec.flip_vertical:
        images = geometry.flipped(images, geometry.draw_flip(len(images), spec, generator))
    if spec.rotate_degrees > 0:
        images = geometry.warped(images, geometry.draw_warp(images.shape, spec, generator))
    elif spec.flip or spec.shift_pixels > 0:
        images = geometry.moved(images, *geometry.draw_move(len(images), spec, generator))
    if spec.rand_augment is not None:
        images = rand_augmented(images, spec.rand_augment, generator)
    if spec.color_jitter is not None:
        images = color.jittered(images, spec.color_jitter, generator)
    if spec.erase > 0:
        images = erased(images, spec.erase, generator)
    return images
