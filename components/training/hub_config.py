"""What transformers needs beside the weights to build a trained network again: config.json, preprocessor_config.json.

Both go into the package of a network whose `body` is one of transformers' classes, so that `modelyard export --format
huggingface` needs neither torch nor the folder that the training began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from components.contracts.shapes import ImageFraming, ImageInput, InputSpec, OutputSpec
from components.identity.manifest import write_json
from components.identity.package import HUB_CONFIG, HUB_GENERATION, HUB_PROCESSOR
from components.models.standardise import Standardise
from components.preprocessing import resizing
from components.tasks.task import Processor
from components.training.messages import log


@runtime_checkable
class SpeechProcessor(Protocol):
    """A processor of speech recognition."""

    def feature_extractor(self) -> dict[str, Any]:
        """The preprocessor_config.json."""

    def generation(self) -> dict[str, Any]:
        """Changes of the generation_config.json."""


def write(
    folder: Path, network: nn.Module, input_spec: InputSpec, output_spec: OutputSpec, classes: Sequence[str]
) -> None:
    """Write the files for a network that is one of transformers' classes; nothing for others.

    Args:
        classes: names of the classes in the order of the logits.
    """
    hf_config = getattr(network, "hf_config", None)
    if hf_config is None:
        return
    document: dict[str, Any] = hf_config.to_dict()
    document.pop("_name_or_path", None)
    names = list(classes) or ["value"]
    document |= {
        "architectures": [type(network.body).__name__],
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": output_spec.problem_type,
        "dtype": "float32",
    }
    document.pop("num_labels", None)  # follows from id2label
    write_json(folder / HUB_CONFIG, document)
    layer = next((module for module in network.modules() if isinstance(module, Standardise)), None)
    if layer is not None and isinstance(input_spec, ImageInput):
        fitting = _fitting(input_spec)
        if fitting is None:
            log(f"no {HUB_PROCESSOR}: no image processor of transformers fits images as input: of dataset.yaml does")
        else:
            write_json(folder / HUB_PROCESSOR, fitting | _levels(layer))


def write_beside(folder: Path, network: nn.Module, processor: Processor) -> None:
    """Write what an export of a recogniser of speech needs: the settings of its feature extractor and of `generate`."""
    if getattr(network, "hf_config", None) is None or not isinstance(processor, SpeechProcessor):
        return
    write_json(folder / HUB_PROCESSOR, processor.feature_extractor())
    generation: dict[str, Any] | None = getattr(network, "generation", None)
    if generation is not None:
        known = {name: value for name, value in generation.items() if not name.startswith("_")}
        write_json(folder / HUB_GENERATION, {**known, **processor.generation()})


def _fitting(input_spec: ImageInput) -> dict[str, Any] | None:
    """The settings of transformers' image processor that fits images into height and width as `input:` says; the
    inverse of `image_processor.of_transformers`.

    Returns:
        None for images that are padded, and for a crop to a rectangle of no stated `shortest_edge`, whose scale depends
        on the image.
    """
    framing = input_spec.framing or ImageFraming()
    size = {"height": input_spec.height, "width": input_spec.width}
    resize = {"do_resize": True, "resample": int(resizing.FILTERS[framing.resample])}
    if framing.resize == "stretch":
        return {"image_processor_type": "ViTImageProcessor", **resize, "size": size}
    edge = framing.shortest_edge
    if edge is None and input_spec.height == input_spec.width:
        edge = input_spec.height
    if framing.resize == "pad" or edge is None:
        return None
    crop = {"size": {"shortest_edge": edge}, "do_center_crop": True, "crop_size": size}
    return {"image_processor_type": "CLIPImageProcessor", **resize, **crop}


def _levels(layer: Standardise) -> dict[str, Any]:
    """The settings that scale to 0..1 and standardise as the network's first layer does."""
    return {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [round(value, 8) for value in layer.mean.tolist()],
        "image_std": [round(value, 8) for value in layer.std.tolist()],
    }
