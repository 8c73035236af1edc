"""DETR of transformers, Carion et al. 2020, arXiv:2005.12872, whose backbone and sizes are those of a config.json.

Legend: N batch, H height, W width, C channels, M boxes of an image, A object queries, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import DetrForObjectDetection, PretrainedConfig

from components.contracts.architectures.hub_generation import DetrSpec
from components.contracts.shapes import BoxesOutput, ImageInput
from components.core.errors import UsageError
from components.models import hub_config
from components.models.hub_loading import LoadsFromHub
from components.models.standardise import Standardise
from components.models.yolos import Yolos, YolosOutputs

DROPOUTS = ("dropout", "attention_dropout", "activation_dropout")


def build(config: DetrSpec, input_spec: ImageInput, output_spec: BoxesOutput) -> Detr:
    """The detector of a config.json, with random weights.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: it is of another kind, its backbone is of timm, or the images have another number of channels.
    """
    hf_config = hub_config.read(config.config_source, ("detr",))
    hub_config.set_dropout(hf_config, DROPOUTS, config.dropout)
    where = f"model.config, {config.config_source}"
    if hf_config.backbone_config.model_type == "timm_backbone":
        raise UsageError(
            "a backbone of timm is not supported",
            where=where,
            got=hf_config.backbone_config.backbone,
            expected="a backbone of transformers, such as resnet",
            next_step="choose weights with such a backbone, as the revision no_timm of facebook/detr-resnet-50",
        )
    if hf_config.num_channels != input_spec.channels:
        raise UsageError(
            "the images have another number of channels than the weights",
            where=where,
            got=input_spec.channels,
            expected=hf_config.num_channels,
            next_step="set input.channels of dataset.yaml",
        )
    return Detr(hf_config, input_spec, output_spec.classes)


class Detr(LoadsFromHub, Yolos):
    """Standardised pixels through transformers' detector; loss and boxes are those of `Yolos`.

    Args:
        hf_config: transformers' config of the detector.
        input_spec: size and statistics of the images.
        classes: number of classes K.
    """

    auto = DetrForObjectDetection
    head_names: Sequence[str] = ("body.class_labels_classifier",)

    def __init__(self, hf_config: PretrainedConfig, input_spec: ImageInput, classes: int) -> None:
        nn.Module.__init__(self)
        self.standardise = Standardise(input_spec.mean, input_spec.std)
        hf_config.num_labels = classes
        self.hf_config = hf_config
        self.body = DetrForObjectDetection(hf_config)

    def forward(self, images: Tensor) -> YolosOutputs:
        """Images (N, H, W, C) of 0..255 to the outputs of each query."""
        outputs = self.body(self.standardise(images))
        return YolosOutputs(outputs.logits, outputs.pred_boxes)
