"""A picture of samples before and after their augmentation, for a person to look at.

Legend: N batch, H height, W width, C channels, T frames, B bands.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from components.contracts.shapes import InputSpec, SpectrogramInput
from components.core import atomic
from components.training.batches import Batch

SAMPLES = 16  # in two columns of pairs
SIDE = 96  # pixels that the longer side of a sample has at least
GAP = 4
MARK = (255, 64, 64)  # of boxes and masks


def draw(path: Path, before: Batch, after: Batch, names: tuple[str, ...], input_spec: InputSpec) -> bool:
    """Write a PNG of the first samples, each before and after; boxes and masks are drawn on their images.

    Args:
        before, after: the same batch; on any device.
        names: arrays that the network takes.

    Returns:
        Whether there was anything to draw: the input has images or spectrograms.
    """
    pairs = []
    for number in range(min(SAMPLES, len(before[names[0]]))):
        tiles = [_tile(batch, number, names, input_spec, before) for batch in (before, after)]
        if tiles[0] is None or tiles[1] is None:
            return False
        pairs.append((tiles[0], tiles[1]))
    width = max(image.width for pair in pairs for image in pair)
    height = max(image.height for pair in pairs for image in pair)
    columns = min(2, len(pairs))
    sheet_size = (columns * (2 * width + 3 * GAP), -(-len(pairs) // columns) * (height + GAP))
    sheet = Image.new("RGB", sheet_size, (255, 255, 255))
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        left, top = column * (2 * width + 3 * GAP), row * (height + GAP)
        sheet.paste(pair[0], (left, top))
        sheet.paste(pair[1], (left + width + GAP, top))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, content.getvalue())
    return True


def _tile(
    batch: Batch, number: int, names: tuple[str, ...], input_spec: InputSpec, before: Batch
) -> Image.Image | None:
    """One sample as an image, enlarged if it is small; None if there is no picture of it."""
    if "images" in batch:
        levels = batch["images"][number].cpu().float()  # (H, W, C)
    elif isinstance(input_spec, SpectrogramInput):
        levels = _grey_levels(batch, number, names, before)
    else:
        return None
    pixels = levels.round().clamp(0, 255).to(torch.uint8)
    image = Image.fromarray(pixels.expand(-1, -1, 3).contiguous().numpy())
    factor = max(1, -(-SIDE // max(image.size)))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    if "masks" in batch:
        _mark_mask(image, batch["masks"][number].cpu())
    if "boxes" in batch:
        _mark_boxes(image, batch["boxes"][number, : int(batch["boxes_lengths"][number])].cpu())
    return image


def _grey_levels(batch: Batch, number: int, names: tuple[str, ...], before: Batch) -> Tensor:
    """Frames as levels (B, T, 1), low bands at the bottom; black and white are the extremes of the original sample."""
    name, lengths = names
    frames = batch[name][number, : int(batch[lengths][number])].cpu()  # (T, B)
    original = before[name][number, : int(before[lengths][number])].cpu()
    low, high = original.min(), original.max()
    return ((frames - low) / (high - low).clamp(min=1e-6) * 255).T.flip(0)[..., None]


def _mark_mask(image: Image.Image, mask: Tensor) -> None:
    """Tint the pixels that have a class above 0; ignored ones (255) too, as they are part of the target."""
    chosen = Image.fromarray((mask > 0).to(torch.uint8).mul(96).numpy())
    image.paste(MARK, (0, 0), chosen.resize(image.size, Image.Resampling.NEAREST))


def _mark_boxes(image: Image.Image, boxes: Tensor) -> None:
    """Draw boxes (M, 4) of (cx, cy, w, h) as shares of the image."""
    pen = ImageDraw.Draw(image)
    for x, y, wide, high in boxes.tolist():
        left, right = (x - wide / 2) * image.width, (x + wide / 2) * image.width
        top, bottom = (y - high / 2) * image.height, (y + high / 2) * image.height
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=MARK)
