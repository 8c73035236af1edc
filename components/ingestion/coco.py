"""COCO: one JSON file of boxes for each split (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.dataset_layout import CocoLayout
from components.core.errors import SourceError
from components.ingestion.boxes import box, inside
from components.ingestion.sample import Sample, split_name


def samples(layout: CocoLayout, folder: Path) -> Iterator[Sample]:
    """The images of each split in the file's order, including images without a box; ids are `<split>/<file name>`.

    Raises:
        SourceError: a file is missing or not JSON, or an annotation names an unknown image or category.
    """
    for split, name in layout.annotations.items():
        path = folder / name
        document = _document(path)
        try:
            labels = {entry["id"]: entry["name"] for entry in document["categories"]}
            boxes_by_image: dict[Any, list[dict[str, Any]]] = {entry["id"]: [] for entry in document["images"]}
            for entry in document["annotations"]:
                if entry.get("iscrowd"):
                    continue
                left, top, width, height = entry["bbox"]
                corners = [left, top, left + width, top + height]
                where = f"{path} annotation {entry.get('id')}"
                boxes_by_image[entry["image_id"]].append(box(labels[entry["category_id"]], corners, where))
            images = [(str(entry["file_name"]), boxes_by_image[entry["id"]]) for entry in document["images"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            got = f"{type(error).__name__}: {error}"
            raise SourceError("the annotations are not COCO's", where=str(path), got=got) from error
        for image, boxes in images:
            content = inside(folder / layout.images[split], image, str(path)).read_bytes()
            yield Sample(f"{split}/{image}", split_name(split, "layout.images"), {"image": content, "boxes": boxes})


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SourceError("no such file in the source", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise SourceError("the annotations are no JSON", where=str(path), got=error) from error
    if not isinstance(document, dict):
        raise SourceError("the annotations are not COCO's", where=str(path), got=type(document).__name__)
    return document
