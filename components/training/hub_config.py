"""What transformers needs beside the weights to build a trained network again: config.json, preprocessor_config.json.

Both go into the package of a network whose `body` is one of transformers' classes, so that `modelyard export --format
huggingface` needs neither torch nor the folder that the training began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from components.contracts.shapes import ImageInput, InputSpec, OutputSpec
from components.identity.manifest import write_json
from components.identity.package import HUB_CONFIG, HUB_PROCESSOR
from components.models.standardise import Standardise


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
        write_json(folder / HUB_PROCESSOR, _of_images(layer, input_spec))


def _of_images(layer: Standardise, input_spec: ImageInput) -> dict[str, Any]:
    """An image processor that scales to 0..1 and standardises as the network's first layer does."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": input_spec.height, "width": input_spec.width},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [round(value, 8) for value in layer.mean.tolist()],
        "image_std": [round(value, 8) for value in layer.std.tolist()],
    }
