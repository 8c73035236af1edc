"""YOLO: a text file of boxes for each image (https://docs.ultralytics.com/datasets/detect/)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.dataset_layout import YoloLayout
from components.core.errors import SourceError
from components.ingestion import frames, image_names, text_lines, visible_files
from components.ingestion.boxes import box
from components.ingestion.frames import Annotated
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name


def samples(layout: YoloLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The images of each split, by path; ids are `<split>/<path below the folder of images>`.

    Raises:
        SourceError: a folder or an image is missing, a line is no box, a number is none of the classes.
    """
    for split, images in layout.images.items():
        root, labels = folder / images, folder / layout.labels[split]
        for needed in (root, labels):
            if not needed.is_dir():
                raise SourceError("no such folder", where=str(needed))
        paths = [path for path in visible_files.walk(root, remarks) if _is_image(path)]
        _check_labels(root, labels, paths)
        with_boxes = [path for path in paths if (labels / path.relative_to(root).with_suffix(".txt")).is_file()]
        frames.frame(
            [Annotated(path, None) for path in with_boxes], "ignore", str(root), remarks
        )  # says what is assumed
        for path in paths:
            name = path.relative_to(root)
            content = path.read_bytes()
            annotation = labels / name.with_suffix(".txt")
            if not annotation.is_file():
                remarks.add("images have no file of boxes and are taken as images without objects", str(name))
            boxes = list(_boxes(annotation, content, layout.classes)) if annotation.is_file() else []
            identity = unicodedata.normalize("NFC", f"{split or 'all'}/{name.as_posix()}")
            named_split = split_name(split, "layout.images") if split else None
            yield Sample(identity, named_split, {"image": content, "boxes": boxes})


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in image_names.SUFFIXES or (path.suffix.lower() != ".txt" and image_names.is_image(path))


def _check_labels(root: Path, labels: Path, images: list[Path]) -> None:
    """Refuse files of boxes whose image is missing.

    Raises:
        SourceError: names the first of them.
    """
    stems = {path.relative_to(root).with_suffix("") for path in images}
    if not stems:
        raise SourceError("no image in the folder", where=str(root))
    for path in visible_files.walk(labels):
        name = path.relative_to(labels)
        if (
            path.suffix == ".txt"
            and path.stem not in ("classes", "labels", "notes")
            and name.with_suffix("") not in stems
        ):
            raise SourceError("no such image", where=str(path), got=str(name.with_suffix("")), expected=f"below {root}")


def _boxes(path: Path, content: bytes, classes: list[str]) -> Iterator[dict[str, Any]]:
    size = frames.shown_size(content)
    for number, line in text_lines.read(path):
        cells = line.split()
        if not cells:
            continue
        where = f"{path} line {number}"
        if size is None:
            raise SourceError("boxes of an image that cannot be read: its size is needed", where=where)
        try:
            label, numbers = _whole(cells[0]), [float(cell) for cell in cells[1:]]
        except (ValueError, OverflowError) as error:
            raise SourceError("a line that is no box", where=where, got=line.strip()[:80], expected=_FORM) from error
        if not 0 <= label < len(classes):
            raise SourceError("a number without a class", where=where, got=label, expected=f"0 to {len(classes) - 1}")
        yield box(classes[label], _corners(numbers, size, where), where)


def _whole(cell: str) -> int:
    number = float(cell)
    if number != int(number):
        raise ValueError(f"the number of a class is not whole: {cell}")
    return int(number)


_FORM = "a class, then centre x, centre y, width and height in 0..1; or the corners of a polygon"


def _corners(numbers: list[float], size: tuple[int, int], where: str) -> list[float]:
    width, height = size
    if len(numbers) == 4:
        x, y, across, along = numbers
        relative = [x - across / 2, y - along / 2, x + across / 2, y + along / 2]
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        xs, ys = numbers[::2], numbers[1::2]
        relative = [min(xs), min(ys), max(xs), max(ys)]
    else:
        raise SourceError("a line that is no box", where=where, got=f"{len(numbers)} numbers", expected=_FORM)
    if any(not -0.01 <= number <= 1.01 for number in relative):
        got = " ".join(f"{number:g}" for number in numbers[:8])
        raise SourceError("a box beyond its image", where=where, got=got, expected="parts of width and height, 0 to 1")
    return [relative[0] * width, relative[1] * height, relative[2] * width, relative[3] * height]
