"""Vision Transformer, from transformers: Dosovitskiy et al. 2021, arXiv:2010.11929."""

from __future__ import annotations

import math
import re
from typing import Any, cast

from torch import Tensor
from transformers import ViTConfig

from components.contracts.architectures.vision import VitSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.transformers_classifier import TransformersClassifier

# Names of weights in files written before transformers 5, and their names since.
RENAMED = (
    (r"\bencoder\.layer\.(\d+)\.attention\.attention\.(q|k|v)(uery|ey|alue)\.", r"layers.\1.attention.\2_proj."),
    (r"\bencoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layers.\1.attention.o_proj."),
    (r"\bencoder\.layer\.(\d+)\.intermediate\.dense\.", r"layers.\1.mlp.fc1."),
    (r"\bencoder\.layer\.(\d+)\.output\.dense\.", r"layers.\1.mlp.fc2."),
    (r"\bencoder\.layer\.(\d+)\.", r"layers.\1."),
)


def build(config: VitSpec, input_spec: ImageInput, output_spec: ClassesOutput) -> Vit:
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
    hf_config = ViTConfig(
        image_size=(input_spec.height, input_spec.width),
        patch_size=config.patch,
        num_hidden_layers=config.depth,
        hidden_size=config.width,
        num_attention_heads=config.heads,
        intermediate_size=config.inner or 4 * config.width,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
    )
    return Vit(hf_config, input_spec, output_spec.classes)


class Vit(TransformersClassifier):
    """transformers' ViT; also reads public weights with the names of earlier versions."""

    def fit_pretrained(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of any version under the names of this version."""
        renamed = {}
        for name, value in weights.items():
            for old, new in RENAMED:
                name = re.sub(old, new, name)
            renamed[name] = value
        self._check_size(renamed)
        return renamed

    def _check_size(self, weights: dict[str, Tensor]) -> None:
        """Raise UsageError if the weights are for images of another size: each place of a patch has its own vector."""
        own = cast(Tensor, self.body.vit.embeddings.position_embeddings)  # (1, 1 + patches, D)
        for name, value in weights.items():
            if name.endswith("embeddings.position_embeddings") and value.shape[1] != own.shape[1]:
                rows, patch = math.isqrt(value.shape[1] - 1), cast(Any, self.body.config).patch_size
                side = rows * patch
                is_square = rows * rows == value.shape[1] - 1
                raise UsageError(
                    "the pretrained weights are for images of another size",
                    where="model.pretrained",
                    got=f"{value.shape[1] - 1} patches" + (f": images of {side}x{side}" if is_square else ""),
                    expected=f"{own.shape[1] - 1} patches of {patch}x{patch} pixels",
                    next_step="prepare images of the size of the weights (input.height and input.width of dataset.yaml)"
                    + (f": {side} and {side}" if is_square else ", or correct model.patch"),
                )
