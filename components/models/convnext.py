"""ConvNeXt, from transformers: Liu et al. 2022, arXiv:2201.03545; version 2: Woo et al. 2023, arXiv:2301.00808."""

from __future__ import annotations

from transformers import ConvNextConfig, ConvNextV2Config

from components.contracts.architectures.vision import ConvNextSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.transformers_classifier import TransformersClassifier


def build(config: ConvNextSpec, input_spec: ImageInput, output_spec: ClassesOutput) -> TransformersClassifier:
    """A network for images that are at least one pixel high and wide after the last stage.

    Raises:
        UsageError: the images are smaller.
    """
    smallest = config.patch << (len(config.widths) - 1)
    if min(input_spec.height, input_spec.width) < smallest:
        raise UsageError(
            "the image is too small for the number of stages",
            where="model.patch",
            got=f"{input_spec.height}x{input_spec.width}",
            expected=f"at least {smallest}x{smallest}",
            next_step="lower model.patch, give fewer stages, or prepare larger images",
        )
    kind = ConvNextConfig if config.version == 1 else ConvNextV2Config
    hf_config = kind(
        patch_size=config.patch,
        num_stages=len(config.widths),
        hidden_sizes=list(config.widths),
        depths=list(config.depths),
        drop_path_rate=config.drop_path,
        image_size=input_spec.height,
    )
    return TransformersClassifier(hf_config, input_spec, output_spec.classes)
