"""COCO: JSON files of boxes (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.dataset_layout import CocoLayout
from components.core.errors import SourceError
from components.ingestion import frames, image_names, visible_files
from components.ingestion.boxes import box
from components.ingestion.frames import Annotated
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name


class _Image(NamedTuple):
    """An image of a document, with its boxes.

    Args:
        name: as the document has it, with `/` between folders.
    """

    name: str
    split: str
    path: Path
    declared: tuple[int, int] | None
    boxes: list[dict[str, Any]]


def samples(layout: CocoLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The images of each split in the files' order, including images without a box; ids are `<split>/<file name>`.

    Raises:
        SourceError: a file is missing or not JSON, an annotation names an unknown image or category, an image stands
            twice, or boxes and images do not fit each other (frames.py).
    """
    images: list[_Image] = []
    for split, name, image_folder in layout.parts():
        images += _read(folder / name, split, folder / image_folder, remarks)
    seen: dict[str, str] = {}
    for image in images:
        if image.name in seen and seen[image.name] == image.split:
            raise SourceError("an image stands twice in a split", where=f"{image.split or 'all'}", got=image.name)
        seen[image.name] = image.split
    _say_others(layout, folder, images, remarks)
    annotated = [Annotated(image.path, image.declared) for image in images]
    frame = frames.frame(annotated, layout.sizes, str(folder), remarks)
    for image in images:
        content = image.path.read_bytes()
        boxes = frames.turned(image.boxes, content) if frame == "stored" else image.boxes
        named_split = split_name(image.split, "layout.images") if image.split else None
        yield Sample(f"{image.split or 'all'}/{image.name}", named_split, {"image": content, "boxes": boxes})


def _say_others(layout: CocoLayout, folder: Path, images: Sequence[_Image], remarks: Remarks) -> None:
    """Remark on the images below the layout's folders that no document names."""
    named = {image.path.resolve() for image in images}
    for root in sorted({folder / image_folder for _, _, image_folder in layout.parts()}):
        for path in visible_files.walk(root):
            if path.suffix.lower() in image_names.SUFFIXES and path.resolve() not in named:
                named.add(path.resolve())  # a folder may be inside another
                remarks.add("images that are not in the annotations are left out", path.relative_to(folder).as_posix())


def _read(path: Path, split: str, folder: Path, remarks: Remarks) -> Iterator[_Image]:
    document = read_document(path)
    find = Finder(folder, path)
    try:
        labels = {str(entry["id"]): entry["name"] for entry in document["categories"]}
        if len(labels) < len(document["categories"]):
            raise SourceError("two categories of one id", where=str(path))
        boxes: dict[str, list[dict[str, Any]]] = {str(entry["id"]): [] for entry in document["images"]}
        if len(boxes) < len(document["images"]):
            raise SourceError("two images of one id", where=str(path))
        used = set()
        for entry in document["annotations"]:
            where = f"{path} annotation {entry.get('id')}"
            image, category = str(entry["image_id"]), str(entry["category_id"])
            if entry.get("iscrowd"):
                if not entry.get("bbox") or image not in boxes or category not in labels:
                    remarks.add("crowds without a box, a known image or a known category are left out", where)
                    continue
                remarks.add("boxes of crowds are not learnt, and what is inside them is neither right nor wrong", where)
                boxes[image].append(box(labels[category], _corners(entry, where), where, "crowd"))
                continue
            if image not in boxes or category not in labels:
                got = f"image {image}, category {category}"
                raise SourceError("an annotation of an unknown image or category", where=where, got=got)
            used.add(category)
            boxes[image].append(box(labels[category], _corners(entry, where), where))
        for entry in document["images"]:
            name = str(entry["file_name"]).replace("\\", "/")
            size = entry.get("width"), entry.get("height")
            declared = (int(size[0]), int(size[1])) if all(size) else None
            yield _Image(find.name(name), split, find(name), declared, boxes[str(entry["id"])])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise SourceError("the annotations are not COCO's", where=str(path), got=got) from error
    for unused in labels.keys() - used:
        remarks.add("categories have no box and are no classes", str(labels[unused]))


def _corners(entry: dict[str, Any], where: str) -> list[Any]:
    """The corners of an annotation's box, or of the box around its polygons."""
    given = entry.get("bbox")
    if given:
        left, top, width, height = given
        return [left, top, left + width, top + height]
    polygons = entry.get("segmentation")
    if not isinstance(polygons, list) or not polygons:
        raise SourceError(
            "an annotation without a box",
            where=where,
            got="a run-length mask" if isinstance(polygons, dict) else "neither bbox nor polygons",
            expected="bbox, or polygons",
        )
    numbers: Sequence[float] = [number for polygon in polygons for number in polygon]
    xs, ys = numbers[::2], numbers[1::2]
    return [min(xs), min(ys), max(xs), max(ys)]


class Finder:
    """Finds the files that a document names: below the folder of images, or by their names alone if these are unique.

    Tools write names from their own folders (`images/x.jpg`, a path of a server) into the document.
    """

    def __init__(self, folder: Path, document: Path) -> None:
        if not folder.is_dir():
            raise SourceError("no such folder", where=str(folder))
        self._folder, self._document = folder, document
        self._by_name: dict[str, list[Path]] | None = None

    def name(self, name: str) -> str:
        """The name itself, or where the file is if it is found by its name alone."""
        path = self(name)
        return name if path == (self._folder / name).resolve() else path.relative_to(self._folder).as_posix()

    def __call__(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if path.is_relative_to(self._folder.resolve()) and path.is_file():
            return path
        if self._by_name is None:
            self._by_name = {}
            for found in visible_files.walk(self._folder):
                self._by_name.setdefault(found.name, []).append(found)
        candidates = self._by_name.get(name.rpartition("/")[2], [])
        if len(candidates) == 1:
            return candidates[0]
        what = "several images of this name" if candidates else "no such image"
        if ".." in Path(name).parts and not candidates:
            what = "a name that leads outside its folder"
        raise SourceError(what, where=str(self._document), got=name, expected=f"a file below {self._folder}")


def read_document(path: Path) -> dict[str, Any]:
    """The JSON document of a file of annotations.

    Raises:
        SourceError: there is no such file, or it is no JSON object.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SourceError("no such file in the source", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise SourceError("the annotations are no JSON", where=str(path), got=error) from error
    if not isinstance(document, dict):
        raise SourceError("the annotations are not COCO's", where=str(path), got=type(document).__name__)
    return document
