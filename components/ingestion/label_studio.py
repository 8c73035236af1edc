"""Label Studio's export in JSON (https://labelstud.io/guide/export): tasks with data and annotations."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from components.contracts.annotation_layout import LabelStudioLayout
from components.core.errors import SourceError
from components.ingestion import frames, json_documents, span_documents
from components.ingestion.boxes import box
from components.ingestion.class_name import class_name
from components.ingestion.coco import Finder
from components.ingestion.frames import Annotated, Size
from components.ingestion.json_documents import Document
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

TYPES = {"spans": ("labels",), "boxes": ("rectanglelabels",), "label": ("choices",), "labels": ("choices",)}
_UPLOAD = re.compile(r"[0-9a-f]{8}-")  # what Label Studio puts before the names of files that are uploaded


class _Task(NamedTuple):
    """A task with the results that are read."""

    identity: str
    split: str | None
    where: str
    content: str
    results: list[Document]


class _Image(NamedTuple):
    """An image on disk, its declared size, and its boxes."""

    task: _Task
    path: Path
    declared: Size | None
    boxes: list[dict[str, Any]]


def samples(layout: LabelStudioLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The annotated tasks of each file, in order; ids are `<split>/<number>`, of images `<split>/<file>`.

    Raises:
        SourceError: a file, a text or an image is missing, or an annotation does not fit `read`.
    """
    tasks = _tasks(layout, folder, remarks)
    if layout.content == "text":
        for task in tasks:
            values = _of_text(layout, task, remarks)
            if values is not None:
                yield Sample(task.identity, task.split, values)
        return
    yield from _images(layout, folder, tasks, remarks)


def results_of(document: Document) -> tuple[list[Document] | None, int]:
    """The results of the first annotation of a task that was not cancelled, None if there is none; and the number of
    such annotations."""
    annotations = document.get("annotations", document.get("completions"))
    kept = [one for one in annotations or () if isinstance(one, dict) and not one.get("was_cancelled")]
    if not kept:
        return None, 0
    results = kept[0].get("result") or []
    return [one for one in results if isinstance(one, dict)], len(kept)


def is_task(document: Document) -> bool:
    """Whether an object is a task of Label Studio."""
    annotations = document.get("annotations", document.get("completions"))
    return isinstance(document.get("data"), dict) and isinstance(annotations, list)


def _tasks(layout: LabelStudioLayout, folder: Path, remarks: Remarks) -> Iterator[_Task]:
    counts: dict[str, int] = {}
    for prefix, split, where, document in json_documents.by_split(layout.files, folder):
        if not is_task(document):
            raise SourceError(
                "no task of Label Studio", where=where, got=", ".join(document), expected="data and annotations"
            )
        number = counts[prefix] = counts.get(prefix, -1) + 1
        results, annotated = results_of(document)
        if results is None:
            what = "were all cancelled" if document.get("annotations") else "are none"
            remarks.add(f"tasks whose annotations {what} are left out", where)
            continue
        if annotated > 1:
            remarks.add("tasks have several annotations, of which the first is read", where)
        content = document["data"].get(layout.data)
        if not isinstance(content, str):
            got = ", ".join(document["data"])
            raise SourceError("no text in a task", where=where, got=got, expected=f"a text under data.{layout.data}")
        yield _Task(f"{prefix}/{number:06d}", split, where, content, _read(layout, results, where, remarks))


def _read(layout: LabelStudioLayout, results: Sequence[Document], where: str, remarks: Remarks) -> list[Document]:
    kept = []
    for result in results:
        kind = str(result.get("type"))
        if kind not in TYPES[layout.read]:
            remarks.add(f"results of the type {kind} are left out", where)
        elif layout.control is not None and result.get("from_name") != layout.control:
            remarks.add(f"results of {result.get('from_name')} are left out", where)
        elif not isinstance(result.get("value"), dict):
            raise SourceError("a result without a value", where=where, got=kind)
        else:
            kept.append(result)
    if not kept:
        remarks.add("tasks have an empty annotation", where)
    return kept


def _of_text(layout: LabelStudioLayout, task: _Task, remarks: Remarks) -> dict[str, Any] | None:
    if layout.read == "spans":
        spans = [result["value"] for result in task.results]
        return span_documents.values_of(task.content, spans, task.where, remarks)
    labels = _choices(layout, task, remarks)
    return None if labels is None else {"text": task.content, **labels}


def _choices(layout: LabelStudioLayout, task: _Task, remarks: Remarks) -> dict[str, Any] | None:
    """`label` or `labels`; None for a task without the one label that it needs, which is counted."""
    chosen: list[str] = []
    for result in task.results:
        choices = result["value"].get("choices")
        if not isinstance(choices, list) or not all(isinstance(one, str) for one in choices):
            raise SourceError("choices that are no list of texts", where=task.where, got=repr(choices)[:80])
        chosen += map(class_name, choices)
    if layout.read == "labels":
        return {"labels": sorted(set(chosen))}
    if not chosen:
        remarks.add("tasks without a label are left out", task.where)
        return None
    if len(set(chosen)) > 1:
        next_step = "`read: labels` reads sets of labels; `control:` names one of several questions"
        raise SourceError(
            "several labels of one task", where=task.where, got=", ".join(chosen), expected="one", next_step=next_step
        )
    return {"label": chosen[0]}


def _images(
    layout: LabelStudioLayout, folder: Path, tasks: Iterator[_Task], remarks: Remarks
) -> Iterator[Sample]:  # fmt: skip
    base = folder / layout.images
    find = Finder(base, base)
    images: list[_Image] = []
    seen: set[tuple[str, Path]] = set()
    for task in tasks:
        path = find_image(find, task.content, task.where)
        if (str(task.split), path) in seen:
            raise SourceError("an image stands twice in a split", where=task.where, got=path.name)
        seen.add((str(task.split), path))
        declared, boxes = _boxes(task, remarks) if layout.read == "boxes" else (None, [])
        images.append(_Image(task, path, declared, boxes))
    frame = "shown"
    if layout.read == "boxes":
        frame = frames.frame([Annotated(one.path, one.declared) for one in images], layout.sizes, str(folder), remarks)
    for image in images:
        content = image.path.read_bytes()
        prefix = image.task.identity.rpartition("/")[0]
        below = base if image.path.is_relative_to(base) else base.resolve()
        identity = unicodedata.normalize("NFC", f"{prefix}/{image.path.relative_to(below).as_posix()}")
        if layout.read == "boxes":
            boxes = frames.turned(image.boxes, content) if frame == "stored" else image.boxes
            yield Sample(identity, image.task.split, {"image": content, "boxes": boxes})
        elif (labels := _choices(layout, image.task, remarks)) is not None:
            yield Sample(identity, image.task.split, {"image": content, **labels})


def find_image(find: Finder, name: str, where: str) -> Path:
    """The file of an image: by the path in its address, or without what Label Studio puts before uploaded files.

    Raises:
        SourceError: there is no such file, or there are several.
    """
    path = local_name(name)
    try:
        return find(path)
    except SourceError as error:
        folder, _, file = path.rpartition("/")
        if (mark := _UPLOAD.match(file)) is not None:
            try:
                return find(f"{folder}/{file[mark.end() :]}".lstrip("/"))
            except SourceError:
                pass
        error.where = where
        raise


def local_name(name: str) -> str:
    """The path in an address: of a URL, or the file behind `?d=` of Label Studio's local storage."""
    parts = urlsplit(name.replace("\\", "/"))
    stored = parse_qs(parts.query).get("d")
    if stored:
        return stored[0].lstrip("/")
    path = unquote(parts.path) if parts.scheme else name.replace("\\", "/")
    return path.lstrip("/")


def _boxes(task: _Task, remarks: Remarks) -> tuple[Size | None, list[dict[str, Any]]]:
    """The size of the image as it is declared, and its boxes in pixels of that size."""
    declared: Size | None = None
    boxes = []
    for result in task.results:
        value = result["value"]
        try:
            size = int(result["original_width"]), int(result["original_height"])
            left, top, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
            angle = float(value.get("rotation") or 0)
            labels = [str(label) for label in value["rectanglelabels"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SourceError("a rectangle that cannot be read", where=task.where, got=repr(error)) from error
        if declared not in (None, size):
            raise SourceError("two sizes of one image", where=task.where, got=size, expected=declared)
        declared = size
        if result.get("image_rotation"):
            raise SourceError(
                "an image that was turned while it was annotated",
                where=task.where,
                got=f"image_rotation {result['image_rotation']}",
                next_step="turn the image file, and annotate it upright",
            )
        if angle:
            remarks.add("rectangles are turned, and the upright box around each is taken", task.where)
        if not labels:
            remarks.add("rectangles without a label are left out", task.where)
        if len(labels) > 1:
            remarks.add("rectangles have several labels, and become a box of each", task.where)
        corners = _around(left, top, width, height, angle, size)
        boxes += [box(label, corners, task.where) for label in labels]
    return declared, boxes


def _around(left: float, top: float, width: float, height: float, angle: float, size: Size) -> list[float]:
    """The upright box in pixels around a rectangle in percent, turned clockwise by degrees about its upper left."""
    x, y = left / 100 * size[0], top / 100 * size[1]
    across, down = width / 100 * size[0], height / 100 * size[1]
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    points = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)]
    xs = [x + right * cosine - low * sine for right, low in points]
    ys = [y + right * sine + low * cosine for right, low in points]
    return [min(xs), min(ys), max(xs), max(ys)]
