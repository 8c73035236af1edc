"""Pascal VOC: one XML file of boxes for each image (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from components.contracts.dataset_layout import VocLayout
from components.core.errors import SourceError
from components.ingestion import frames, image_names, mask_painter, text_lines, visible_files
from components.ingestion.boxes import box
from components.ingestion.frames import Annotated, Frame
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name

_SETS = ("train", "val", "test")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_DECLARATION = re.compile(rb"""^<\?xml[^>]*?encoding=["']([A-Za-z0-9._-]+)["'][^>]*\?>""")


class _Image(NamedTuple):
    """An image and its annotation, which may be missing.

    Args:
        where: for errors.
    """

    identity: str
    split: str | None
    path: Path
    annotation: Path | None
    where: str


def samples(layout: VocLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The images of each set in its order; without sets all images, sorted; ids are the images' names.

    Raises:
        SourceError: a folder, image or annotation is missing or damaged, an image is in two sets, or boxes and images
            do not fit each other (frames.py).
    """
    root = folder / layout.root
    images = list(_images(layout, root, remarks))
    if not images:
        raise SourceError("no annotated image in the folder", where=str(root))
    annotated = [Annotated(image.path, _size(image.annotation)) for image in images if image.annotation is not None]
    frame = frames.frame(annotated, layout.sizes, str(root), remarks)
    painter = mask_painter.Painter(remarks) if layout.masks is not None else None
    for image in images:
        sample = _sample(image, frame)
        for found in sample.values["boxes"] if painter is None else ():
            if "difficult" in found:
                remarks.add("boxes are difficult: they are neither learnt nor counted as misses", image.identity)
        if painter is None or layout.masks is None:
            yield sample
        else:
            yield sample._replace(values=painter.of_boxes(sample.values["image"], sample.values["boxes"], layout.masks))


def annotation_root(path: Path) -> ElementTree.Element:
    """The root element of an annotation, in whatever encoding it declares.

    Raises:
        SourceError: no XML, an unknown encoding, or declared entities.
    """
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise SourceError("an annotation that declares entities", where=str(path))
    head = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    declared = _DECLARATION.match(head)
    try:
        if declared is not None:  # expat itself reads no encoding of several bytes but UTF-8 and UTF-16
            text = head[declared.end() :].decode(declared[1].decode("ascii"))
            return ElementTree.fromstring(text)  # noqa: S314  # refused above if it declares entities
        return ElementTree.fromstring(head if head[:2] not in (b"\xff\xfe", b"\xfe\xff") else content)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SourceError("the annotation is no XML", where=str(path), got=error) from error


def _images(layout: VocLayout, root: Path, remarks: Remarks) -> Iterator[_Image]:
    if isinstance(layout.images, dict) and isinstance(layout.annotations, dict):
        for name, images in layout.images.items():
            folders = root / images, root / layout.annotations[name]
            split = split_name(name, "layout.images")
            for image in _pairs(*folders, layout.unannotated, remarks):
                yield image._replace(identity=f"{name}/{image.identity}", split=split)
        return
    folders = root / str(layout.images), root / str(layout.annotations)
    sets = {name: root / "ImageSets" / "Main" / f"{name}.txt" for name in _SETS}
    if any(path.is_file() for path in sets.values()):
        yield from _of_sets(sets, *folders)
    else:
        yield from _pairs(*folders, layout.unannotated, remarks)


def _of_sets(sets: dict[str, Path], image_folder: Path, annotation_folder: Path) -> Iterator[_Image]:
    images, annotations = _by_stem(image_folder), _by_stem(annotation_folder, ".xml")
    set_names: dict[str, str] = {}
    for name, path in sets.items():
        for number, line in text_lines.read(path, strict=True) if path.is_file() else ():
            identity = line.split()[0] if line.strip() else ""
            if not identity:
                continue
            where = f"{path} line {number}"
            if set_names.setdefault(identity, name) != name:
                raise SourceError("an image in two sets", where=where, got=f"{identity}, also in {set_names[identity]}")
            key = _stem(identity)
            for files, folder, kind in (
                (images, image_folder, "image"),
                (annotations, annotation_folder, "annotation"),
            ):
                if key not in files:
                    raise SourceError(f"no such {kind}", where=where, got=identity, expected=f"{folder}/{identity}.*")
            yield _Image(identity, split_name(name, str(path)), images[key], annotations[key], where)


def _pairs(image_folder: Path, annotation_folder: Path, unannotated: str, remarks: Remarks) -> Iterator[_Image]:
    images, annotations = _by_stem(image_folder), _by_stem(annotation_folder, ".xml")
    for key, path in annotations.items():
        if key not in images:
            raise SourceError("no such image", where=str(path), got=path.stem, expected=f"{image_folder}/{path.stem}.*")
    for key, path in images.items():
        annotation = annotations.get(key)
        if annotation is None and unannotated == "leave_out":
            remark = "images without an annotation are left out; `unannotated: background` keeps them, without objects"
            remarks.add(remark, path.name)
            continue
        yield _Image(unicodedata.normalize("NFC", path.stem), None, path, annotation, str(annotation or path))


def _by_stem(folder: Path, suffix: str | None = None) -> dict[str, Path]:
    """Files by their stems, case blind, sorted: images, or files of a suffix.

    Raises:
        SourceError: no such folder, or two files of a stem.
    """
    if not folder.is_dir():
        raise SourceError("no such folder", where=str(folder))
    found: dict[str, Path] = {}
    for path in visible_files.children(folder):
        if not path.is_file() or path.suffix.lower() == ".txt":
            continue
        is_wanted = path.suffix.lower() == suffix if suffix else path.suffix.lower() != ".xml" and _is_image(path)
        if is_wanted and found.setdefault(_stem(path.stem), path) != path:
            other = found[_stem(path.stem)].name
            raise SourceError("two files of one name", where=str(folder), got=f"{other}, {path.name}")
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in image_names.SUFFIXES or image_names.is_image(path)


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _size(annotation: Path) -> tuple[int, int] | None:
    """Width and height as the annotation declares them; None if it does not, or says 0."""
    root = annotation_root(annotation)
    try:
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _sample(image: _Image, frame: Frame) -> Sample:
    content = image.path.read_bytes()
    boxes = _boxes(image.annotation) if image.annotation is not None else []
    return Sample(
        image.identity,
        image.split,
        {"image": content, "boxes": frames.turned(boxes, content) if frame == "stored" else boxes},
    )


def _boxes(path: Path) -> list[dict[str, Any]]:
    return [
        box(
            element.findtext("name"),
            [element.findtext(f"bndbox/{corner}") for corner in _CORNERS],
            str(path),
            "difficult" if _is_difficult(element) else None,
        )
        for element in annotation_root(path).iter("object")
    ]


def _is_difficult(element: ElementTree.Element) -> bool:
    """Whether an object has `<difficult>1</difficult>`; tools write true and false too."""
    return (element.findtext("difficult") or "").strip().lower() in ("1", "true", "yes")
