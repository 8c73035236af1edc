"""The image processor of pretrained weights: whether the dataset's images are fitted into the network's size as the
weights' were.

transformers' own processor (its Pillow form) is run beside ours on a picture of noise; timm's weights say theirs in
config.json (`pretrained_cfg`).
"""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.contracts.shapes import ImageFraming, ImageInput
from components.core.errors import UsageError
from components.preprocessing import image, resizing
from components.preprocessing.image import Decoding
from components.training.messages import log

TIMM = "pretrained_cfg"  # the section of timm's config.json
PROBE = (301, 180)  # width and height of the picture of noise
LEVELS = 1  # largest difference of a level of 0 to 255


class Fitting(NamedTuple):
    """`input:` of a dataset.yaml for the weights."""

    height: int
    width: int
    framing: ImageFraming

    def __str__(self) -> str:
        chosen = self.framing.model_dump(exclude_defaults=True, exclude={"stated"})
        text = {"height": self.height, "width": self.width, "resize": self.framing.resize} | chosen
        return ", ".join(f"{name}: {value}" for name, value in text.items())


def check(document: dict[str, Any], folder: Path, input_spec: ImageInput, where: str) -> None:
    """Refuse images that were fitted into their size in another way than the images of the weights.

    Args:
        document: content of preprocessor_config.json, or of timm's config.json.
        folder: that file's folder.
        where: source of the weights, for messages.

    Raises:
        UsageError: the dataset's images are fitted in another way, and dataset.yaml does not state
            `processor: dataset`.
    """
    if input_spec.framing is None:
        return
    ours = Fitting(input_spec.height, input_spec.width, input_spec.framing)
    wanted: Fitting | None
    if TIMM in document:
        wanted = of_timm(document[TIMM])
        same = wanted == ours._replace(framing=ours.framing.model_copy(update={"stated": False}))
    else:
        processor = opened(folder)
        if processor is None:
            log("the image processor of the weights does not say its type; only its normalisation is used")
            return
        wanted, picture = of_transformers(processor), _probe()
        same = _same(framed(picture, ours), theirs(processor, picture))
        if wanted is not None and not _same(framed(picture, wanted), theirs(processor, picture)):
            wanted = None  # a processor that does more than `input:` can say
    if same:
        return
    if ours.framing.stated:
        log(f"images are fitted as dataset.yaml says ({ours}), not as those of the weights ({wanted or where})")
        return
    raise UsageError(
        "the images are fitted into their size in another way than those that the weights were trained with",
        where=where,
        got=str(ours),
        expected=str(wanted) if wanted else "the weights' own image processor, which dataset.yaml cannot describe",
        next_step=(f"write input: {{{wanted}, channels: 3}} into dataset.yaml" if wanted else "choose other weights")
        + ", or state `processor: dataset` there to train with images as they are",
    )


def opened(folder: Path) -> Any:
    """transformers' image processor in a folder; None if the files do not say its type."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(str(folder), backend="pil", local_files_only=True)
    except (ValueError, OSError):
        return None


def theirs(processor: Any, picture: Image.Image) -> NDArray[np.float32]:
    """Levels 0 to 255 (H, W, C) that a processor of transformers makes of a picture."""
    made = processor(picture, return_tensors="np", do_rescale=False, do_normalize=False)["pixel_values"]
    levels: NDArray[np.float32] = np.asarray(made, np.float32)[0].transpose(1, 2, 0)
    return levels


def framed(picture: Image.Image, how: Fitting) -> NDArray[np.float32]:
    """Levels 0 to 255 (H, W, C) that our decoding makes of a picture."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    framing = how.framing
    decoding = Decoding(resize=framing.resize, shortest_edge=framing.shortest_edge, resample=framing.resample)
    return image.read(stream.getvalue(), how.height, how.width, 3, decoding).pixels.astype(np.float32)


def of_transformers(processor: Any) -> Fitting | None:
    """The settings of a processor of transformers; None if they are not of the usual forms."""
    size = dict(getattr(processor, "size", None) or {}) if getattr(processor, "do_resize", True) else {}
    names: dict[int, resizing.Resample] = {int(code): name for name, code in resizing.FILTERS.items()}
    resample = names.get(int(processor.resample)) if getattr(processor, "resample", None) is not None else "bilinear"
    if resample is None:
        return None
    edge, height, width = size.get("shortest_edge"), size.get("height"), size.get("width")
    crop = dict(getattr(processor, "crop_size", None) or {}) if getattr(processor, "do_center_crop", None) else {}
    if edge and getattr(processor, "crop_pct", None):  # ConvNeXt's: cropped below 384, stretched from there on
        if edge >= 384:
            return Fitting(edge, edge, ImageFraming(resample=resample))
        before = int(edge / processor.crop_pct)
        return Fitting(edge, edge, ImageFraming(resize="crop", shortest_edge=before, resample=resample))
    if edge and crop.get("height") and crop.get("width"):
        framing = ImageFraming(resize="crop", shortest_edge=edge, resample=resample)
        return Fitting(crop["height"], crop["width"], framing)
    if height and width and not crop:
        return Fitting(height, width, ImageFraming(resample=resample))
    return None


def of_timm(config: dict[str, Any]) -> Fitting:
    """The settings of timm's `pretrained_cfg`: the shorter side is size / crop_pct before the middle is cropped."""
    _, height, width = config["input_size"]
    resample = config.get("interpolation", "bicubic")
    share = float(config.get("crop_pct", 0.875))
    if config.get("crop_mode", "center") == "squash":
        return Fitting(height, width, ImageFraming(resample=resample))
    return Fitting(height, width, ImageFraming(resize="crop", shortest_edge=int(height / share), resample=resample))


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= LEVELS)


@functools.cache
def _probe() -> Image.Image:
    width, height = PROBE
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)
