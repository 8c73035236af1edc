"""COCO's polygons and run lengths, painted into a mask for each image (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset_layout import CocoLayout
from components.core.errors import SourceError
from components.ingestion import mask_painter, run_lengths
from components.ingestion.class_name import class_name
from components.ingestion.coco import Finder, read_document
from components.ingestion.mask_painter import Painter, Region
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name

_NAMED = 5


class _Scene(NamedTuple):
    """An image of a document: its file, its declared size, and its annotations, each with its label and its place."""

    name: str
    path: Path
    width: int
    height: int
    annotations: list[tuple[str, dict[str, Any], str]]


def samples(layout: CocoLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The images of each split in the files' order; ids are `<split>/<file name>`. An image without an annotation is
    background.

    Raises:
        SourceError: as of `coco.samples`; an annotation without a segment, run lengths that do not fit, or masks of
            another size than their images, which are counted and named.
    """
    painter = Painter(remarks)
    seen: set[tuple[str, str]] = set()
    odd: list[str] = []
    for split, name, image_folder in layout.parts():
        for scene in _scenes(folder / name, folder / image_folder):
            if (split, scene.name) in seen:
                raise SourceError("an image stands twice in a split", where=split or "all", got=scene.name)
            seen.add((split, scene.name))
            content = scene.path.read_bytes()
            regions = [_region(label, entry, scene, where) for label, entry, where in scene.annotations]
            numbers = painter.paint(regions, scene.width, scene.height)
            numbers, problem = mask_painter.upright(numbers, content, remarks)
            if problem is not None:
                odd.append(f"{scene.name}: {problem}")
                continue
            named = split_name(split, "layout.images") if split else None
            fields = mask_painter.fields(content, numbers, painter.names)
            yield Sample(f"{split or 'all'}/{scene.name}", named, fields)
    if odd:
        raise SourceError(
            f"{len(odd):,} masks are not of the size of their images",
            where=str(folder),
            got="; ".join(odd[:_NAMED]),
            next_step="mend width and height in the annotations, or the images",
        )


def _scenes(path: Path, folder: Path) -> Iterator[_Scene]:
    document, find = read_document(path), Finder(folder, path)
    try:
        labels = {str(entry["id"]): class_name(str(entry["name"])) for entry in document["categories"]}
        found: dict[str, list[tuple[str, dict[str, Any], str]]] = {str(entry["id"]): [] for entry in document["images"]}
        if len(labels) < len(document["categories"]) or len(found) < len(document["images"]):
            raise SourceError("two categories or two images of one id", where=str(path))
        for entry in document["annotations"]:
            where = f"{path} annotation {entry.get('id')}"
            image, category = str(entry["image_id"]), str(entry["category_id"])
            if image not in found or category not in labels:
                got = f"image {image}, category {category}"
                raise SourceError("an annotation of an unknown image or category", where=where, got=got)
            found[image].append((labels[category], entry, where))
        for entry in document["images"]:
            name = str(entry["file_name"]).replace("\\", "/")
            size = int(entry["width"]), int(entry["height"])
            yield _Scene(find.name(name), find(name), *size, found[str(entry["id"])])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise SourceError("the annotations are not COCO's", where=str(path), got=got) from error


def _region(label: str, entry: dict[str, Any], scene: _Scene, where: str) -> Region:
    """The pixels of an annotation: of its polygons, or of its run lengths."""
    segments = entry.get("segmentation")
    try:
        if isinstance(segments, dict):
            region = run_lengths.decode(segments)
        elif isinstance(segments, list) and segments:
            region = polygons(segments, scene.width, scene.height)
        else:
            raise ValueError("neither polygons nor run lengths")
    except (ValueError, TypeError) as error:
        raise SourceError("an annotation whose segments cannot be painted", where=where, got=error,
                          expected="segmentation: polygons, or size and counts") from error  # fmt: skip
    if region.shape != (scene.height, scene.width):
        got = f"run lengths of {region.shape[1]}x{region.shape[0]}"
        raise SourceError("a segment of another size than its image", where=where, got=got,
                          expected=f"{scene.width}x{scene.height}")  # fmt: skip
    return Region(label, 0, 0, region)


def polygons(segments: list[list[float]], width: int, height: int) -> NDArray[np.bool_]:
    """The pixels (H, W) of polygons [x1, y1, x2, y2, ...] whose centres are inside, by the even-odd rule.

    Pillow's `ImageDraw.polygon` fills the pixels that the border touches as well: a square of four pixels has five.

    Raises:
        ValueError: a polygon of fewer than three corners, or of corners that are no numbers.
    """
    found = np.zeros((height, width), np.bool_)
    centres = np.arange(height) + 0.5  # of the rows
    for segment in segments:
        corners = np.array([float(number) for number in segment])
        if len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
            raise ValueError(f"a polygon of {len(corners)} numbers")
        x, y = corners[::2, None], corners[1::2, None]  # (E, 1)
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        edges, rows = np.nonzero((y <= centres) != (next_y <= centres))  # the edges that cross the middle of a row
        slope = (next_x - x)[edges, 0] / (next_y - y)[edges, 0]
        crossing = x[edges, 0] + (centres[rows] - y[edges, 0]) * slope
        columns = np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)  # the first pixel to the right of it
        crossings = np.zeros((height, width + 1), np.int64)
        np.add.at(crossings, (rows, columns), 1)
        found |= np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
    return found
