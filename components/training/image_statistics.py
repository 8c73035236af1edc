"""The normalisation of images that pretrained weights were trained with.

Weights of the registry bring it along (`standardise.mean`, `standardise.std`); a model of the hub has a
preprocessor_config.json, one of timm's a section of its config.json. Weights that do not say it get the dataset's, and
the log says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from components.contracts.shapes import ImageInput, InputSpec
from components.core.errors import CorruptArtifactError, UsageError
from components.models.standardise import Standardise
from components.training import image_processor
from components.training.messages import log

FILE_NAME = "preprocessor_config.json"
TOLERANCE = 2e-3  # of mean and std in units of 0..1: public values are rounded


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel, in units of 0..1, and where they are from."""

    mean: list[float]
    std: list[float]
    origin: str

    def __str__(self) -> str:
        mean, std = ([round(value, 4) for value in values] for values in (self.mean, self.std))
        return f"mean {mean}, std {std} ({self.origin})"


def adopt(
    network: nn.Module, input_spec: InputSpec | None, fitted: Sequence[str], config: Path | None, where: str
) -> str | None:
    """Give a network with fresh pretrained weights the normalisation of these weights; returns it as text.

    Args:
        fitted: names of the weights that were loaded.
        config: the preprocessor_config.json of the weights, if there is one, else their config.json.
        where: source of the weights, for messages.

    Returns:
        None for networks that read no images.

    Raises:
        UsageError: `input.normalise` of the dataset states other values than the weights have, or its images are
            fitted into their size in another way.
        CorruptArtifactError: the preprocessor_config.json cannot be read.
    """
    layer = next((module for module in network.modules() if isinstance(module, Standardise)), None)
    if layer is None or not isinstance(input_spec, ImageInput):
        return None
    own = Statistics(input_spec.mean, input_spec.std, "the train split")
    document = None if config is None else _document(config)
    if config is not None and config.name != FILE_NAME and image_processor.TIMM not in (document or {}):
        document = None  # a config.json that says nothing of images
    known = _of_weights(network, layer, fitted) or (None if document is None else _of_config(document, config))
    if config is not None and document is not None:
        image_processor.check(document, config.parent, input_spec, where)
        if input_spec.framing is None:
            _say_size(document, input_spec)
    if known is None:
        chosen = own if input_spec.normalise != "stated" else own._replace(origin="input.normalise")
        hint = "" if input_spec.normalise != "auto" else "; input.normalise: imagenet is right for weights of ImageNet"
        log(f"the weights do not say how images were normalised; the network uses {chosen}{hint}")
        return str(chosen)
    agrees = len(known.mean) == len(own.mean) and all(
        abs(one - other) <= TOLERANCE
        for one, other in zip([*known.mean, *known.std], [*own.mean, *own.std], strict=True)
    )
    if not agrees and (input_spec.normalise == "stated" or len(known.mean) != len(own.mean)):
        raise UsageError(
            "the images are normalised in another way than those that the weights were trained with",
            where=where,
            got=f"mean {own.mean}, std {own.std}",
            expected=str(known),
            next_step="leave input.normalise out of dataset.yaml: the network then uses the values of the weights",
        )
    chosen = own if input_spec.normalise == "dataset" else known
    if not agrees:
        log(f"images are normalised by {chosen}, {'not' if chosen is own else 'as the weights were, not'} by "
            f"{known if chosen is own else own}")  # fmt: skip
    with torch.no_grad():
        layer.mean.copy_(torch.tensor(chosen.mean))
        layer.std.copy_(torch.tensor(chosen.std))
    return str(chosen)


def _of_weights(network: nn.Module, layer: Standardise, fitted: Sequence[str]) -> Statistics | None:
    """The statistics that were loaded into the layer, if both were."""
    name = next(name for name, module in network.named_modules() if module is layer)
    if not {f"{name}.mean", f"{name}.std"} <= set(fitted):
        return None
    return Statistics(layer.mean.tolist(), layer.std.tolist(), "the weights")


def _document(config: Path) -> dict[str, Any]:
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError("the image processor cannot be read", where=str(config), got=error) from error
    if not isinstance(document, dict):
        raise CorruptArtifactError("the image processor is no mapping", where=str(config), got=type(document).__name__)
    return document


def _of_config(document: dict[str, Any], config: Path | None) -> Statistics:
    """Mean and std of transformers' image processors: (x * rescale_factor - image_mean) / image_std."""
    origin = FILE_NAME
    if image_processor.TIMM in document:
        origin = f"{image_processor.TIMM} of config.json"
        document = document[image_processor.TIMM]
        document = {"image_mean": document.get("mean"), "image_std": document.get("std")}
    factor = 255 * document.get("rescale_factor", 1 / 255) if document.get("do_rescale", True) else 255.0
    normalises = document.get("do_normalize", True) and "image_mean" in document and "image_std" in document
    mean, std = (document["image_mean"], document["image_std"]) if normalises else ([0.0] * 3, [1.0] * 3)
    try:
        return Statistics([float(v) / factor for v in mean], [float(v) / factor for v in std], origin)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise CorruptArtifactError("the image processor has no statistics", where=str(config), got=error) from error


def _say_size(document: dict[str, Any], input_spec: ImageInput) -> None:
    """Log the size of the images that the weights were trained on, if the dataset has another one."""
    size = document.get("crop_size") if document.get("do_center_crop") else document.get("size")
    if isinstance(size, dict):
        sides = size.get("height", size.get("shortest_edge")), size.get("width", size.get("shortest_edge"))
    else:
        sides = (size, size)
    if None not in sides and sides != (input_spec.height, input_spec.width):
        log(
            f"the weights were trained on images of {sides[0]}x{sides[1]}, the dataset has "
            f"{input_spec.height}x{input_spec.width} (input.height, input.width)"
        )
