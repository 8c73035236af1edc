"""A detector with detection tokens, from transformers: YOLOS, Fang et al. 2021, arXiv:2106.00666.

The loss is that of DETR, Carion et al. 2020, arXiv:2005.12872.

Legend: N batch, H height, W width, C channels, M boxes of an image, A detection tokens, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import YolosConfig, YolosForObjectDetection

from components.contracts.architectures.detection import YolosSpec
from components.contracts.shapes import BoxesOutput, ImageInput
from components.core.errors import UsageError
from components.models.standardise import Standardise


def build(config: YolosSpec, input_spec: ImageInput, output_spec: BoxesOutput) -> Yolos:
    """A network for images whose height and width the patch size divides.

    Raises:
        UsageError: it does not.
    """
    if input_spec.height % config.patch or input_spec.width % config.patch:
        raise UsageError(
            "the patch size does not divide the image size",
            where="model.patch",
            got=f"{config.patch} of {input_spec.height}x{input_spec.width}",
            next_step="give another model.patch, or prepare images of another size",
        )
    return Yolos(config, input_spec, output_spec.classes)


class YolosOutputs(NamedTuple):
    """Outputs of each token: class logits (N, A, K + 1), the last class for no object, and the box (N, A, 4), cx cy w h
    in 0..1."""

    logits: Tensor
    boxes: Tensor


class _Positions(nn.Module):
    """Position embeddings as they are: transformers interpolates them to the size of the images.

    The images have the size of the config, so that its bicubic interpolation changes nothing; but the gradient of the
    interpolation has no reproducible kernel on a GPU.
    """

    def forward(self, positions: Tensor, size: tuple[int, int]) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        return positions


class _MidPositions(nn.Module):
    """As `_Positions`, of the layers between; the weights have transformers' names."""

    def __init__(self, positions: nn.Parameter) -> None:
        super().__init__()
        self.mid_position_embeddings = positions

    def forward(self, size: tuple[int, int]) -> Tensor:
        """(layers - 1, 1, T, D)."""
        return self.mid_position_embeddings


def _fix_positions(body: YolosForObjectDetection) -> None:
    """Replace the interpolation of transformers' position embeddings."""
    body.vit.embeddings.interpolation = _Positions()
    encoder = body.vit.encoder
    if encoder.interpolation is not None:
        encoder.interpolation = _MidPositions(encoder.interpolation.mid_position_embeddings)


class Yolos(nn.Module):
    """Standardised pixels through transformers' detector.

    Args:
        config: sizes.
        input_spec: size and statistics of the images.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("body.class_labels_classifier",)

    def __init__(self, config: YolosSpec, input_spec: ImageInput, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(input_spec.mean, input_spec.std)
        hf_config = YolosConfig(
            image_size=[input_spec.height, input_spec.width],
            patch_size=config.patch,
            num_channels=input_spec.channels,
            num_hidden_layers=config.depth,
            hidden_size=config.width,
            num_attention_heads=config.heads,
            intermediate_size=config.inner or 4 * config.width,
            num_detection_tokens=config.tokens,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
        )
        hf_config.num_labels = classes
        self.body = YolosForObjectDetection(hf_config)
        _fix_positions(self.body)
        # Equal tokens would stay equal; transformers initialises them to zero.
        embeddings = self.body.vit.embeddings
        for value in (embeddings.detection_tokens, embeddings.position_embeddings):
            nn.init.trunc_normal_(value, std=0.02)

    def forward(self, images: Tensor) -> YolosOutputs:
        """Images (N, H, W, C) of 0..255 to the outputs of each token."""
        outputs = self.body(self.standardise(images))
        return YolosOutputs(outputs.logits, outputs.pred_boxes)

    def loss(self, found: YolosOutputs, boxes: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
        """DETR's loss (2), over the best matching of tokens and objects: boxes (N, M, 4), cx cy w h in 0..1, classes
        (N, M), counts (N,) to ()."""
        targets = [
            {"class_labels": kinds[:count], "boxes": places[:count]}
            for kinds, places, count in zip(classes, boxes, counts.tolist(), strict=True)
        ]
        logits, places = found.logits.float(), found.boxes.float()
        loss: Tensor = self.body.loss_function(logits, targets, logits.device, places, self.body.config)[0]
        return loss

    def decode(self, found: YolosOutputs) -> tuple[Tensor, Tensor]:
        """Boxes (N, A, 4), cx cy w h in 0..1, and scores (N, A, K)."""
        return found.boxes, torch.softmax(found.logits, dim=2)[..., :-1]
