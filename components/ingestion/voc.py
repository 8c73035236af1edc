"""Pascal VOC: one XML file of boxes for each image (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from components.contracts.dataset_layout import VocLayout
from components.core.errors import SourceError
from components.ingestion import text_lines
from components.ingestion.boxes import box, inside
from components.ingestion.sample import Sample, split_name

_SETS = ("train", "val", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def samples(layout: VocLayout, folder: Path) -> Iterator[Sample]:
    """The images of each set in its order, or all annotated images, sorted, without sets; ids are the images' names.

    Raises:
        SourceError: a folder, image or annotation is missing or damaged, or an image is in two sets.
    """
    root = folder / layout.root
    sets = {name: root / "ImageSets" / "Main" / f"{name}.txt" for name in _SETS}
    if any(path.is_file() for path in sets.values()):
        set_names: dict[str, str] = {}
        for name, path in sets.items():
            for number, line in text_lines.read(path, strict=True) if path.is_file() else ():
                identity = line.split()[0] if line.strip() else ""
                if identity and set_names.setdefault(identity, name) != name:
                    got = f"{identity}, also in {set_names[identity]}"
                    raise SourceError("an image in two sets", where=f"{path} line {number}", got=got)
                if identity:
                    yield _sample(root, identity, split_name(name, str(path)), f"{path} line {number}")
        return
    if not (root / "Annotations").is_dir():
        raise SourceError("no such folder", where=str(root / "Annotations"))
    for path in sorted((root / "Annotations").glob("*.xml")):
        yield _sample(root, path.stem, None, str(path))


def _sample(root: Path, identity: str, split: str | None, where: str) -> Sample:
    names = [f"{identity}{suffix}" for suffix in _SUFFIXES]
    name = next((name for name in names if (root / "JPEGImages" / name).is_file()), names[0])
    content = inside(root / "JPEGImages", name, where).read_bytes()
    annotation = inside(root / "Annotations", f"{identity}.xml", where)
    return Sample(identity, split, {"image": content, "boxes": _boxes(annotation)})


def _boxes(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise SourceError("an annotation that declares entities", where=str(path))
    try:
        tree = ElementTree.fromstring(content)  # noqa: S314  # refused above if it declares entities
    except ElementTree.ParseError as error:
        raise SourceError("the annotation is no XML", where=str(path), got=error) from error
    return [
        box(element.findtext("name"), [element.findtext(f"bndbox/{corner}") for corner in _CORNERS], str(path))
        for element in tree.iter("object")
    ]
