"""Recognise annotated images by content: Pascal VOC, COCO, YOLO."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.core.errors import SourceError
from components.drafting.recognised import Recognised
from components.drafting.split_files import Files, by_split, is_split
from components.ingestion import image_names, voc

_BOX_LINE = re.compile(r"\d+(\.0*)?(\s+-?[\d.]+(e-?\d+)?){4,}\s*")
_ANNOTATIONS = (".xml", ".json", ".txt", ".yaml", ".yml", ".csv")
_LOOKED_AT = 20  # files of a kind that are opened to recognise it


def recognise(source: Path, files: Sequence[Path]) -> Recognised | None:
    """VOC, COCO or YOLO; None if the files are neither.

    Raises:
        SourceError: there are annotations, but it is not clear which of them, or of which images.
    """
    images = [path for path in files if _is_image(path)]
    if not images:
        return None
    return _voc(source, files, images) or _coco(source, files, images) or _yolo(source, files, images)


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in image_names.SUFFIXES or (suffix not in _ANNOTATIONS and image_names.is_image(path))


def _voc(source: Path, files: Sequence[Path], images: Sequence[Path]) -> Recognised | None:
    annotations = [path for path in files if path.suffix.lower() == ".xml"]
    if not annotations or not any(_is_voc(path) for path in annotations[:_LOOKED_AT]):
        return None
    folders = sorted({path.parent for path in annotations})
    stems: dict[str, set[Path]] = {}
    for image in images:
        stems.setdefault(image.stem.casefold(), set()).add(image.parent)
    pairs: dict[Path, Path] = {}
    for folder in folders:
        counts: dict[Path, int] = {}
        for path in annotations:
            for image_folder in stems.get(path.stem.casefold(), ()) if path.parent == folder else ():
                counts[image_folder] = counts.get(image_folder, 0) + 1
        if counts:
            near = {found: (count, len(os.path.commonpath([found, folder]))) for found, count in counts.items()}
            pairs[folder] = max(near, key=lambda found: near[found])
    if not pairs:
        raise SourceError(
            "annotations as in Pascal VOC, and no image has the name of one",
            where=str(source),
            got=f"{annotations[0].name}; {images[0].name}",
            expected=f"{annotations[0].stem}.jpg",
        )
    remarks = tuple(
        f"the folder of annotations {_relative(folder, source)} is left out: no image has the name of one of them"
        for folder in folders
        if folder not in pairs
    )
    if len(pairs) == 1:
        ((annotation_folder, image_folder),) = pairs.items()
        return _one_voc(source, annotation_folder, image_folder)._replace(remarks=remarks)
    if not all(is_split(folder.name) or is_split(folder.parent.name) for folder in pairs):
        names = ", ".join(_relative(folder, source) for folder in pairs)
        raise SourceError(
            "several folders of annotations, and they are not named after splits",
            where=str(source),
            got=names,
            expected="train, validation (val, dev), test",
            next_step="`modelyard new NAME --from FOLDER` with one of them",
        )
    named = {(folder if is_split(folder.name) else folder.parent).name: folder for folder in pairs}
    layout = {
        "kind": "voc",
        "images": {split: _relative(pairs[folder], source) for split, folder in named.items()},
        "annotations": {split: _relative(folder, source) for split, folder in named.items()},
    }
    return Recognised(layout, f"annotations as in Pascal VOC, a folder for each of {', '.join(named)}", remarks)


def _one_voc(source: Path, annotations: Path, images: Path) -> Recognised:
    root = Path(os.path.commonpath([annotations, images]))
    layout = {
        "kind": "voc",
        "root": _relative(root, source),
        "images": _relative(images, root),
        "annotations": _relative(annotations, root),
    }
    default = {"images": "JPEGImages", "annotations": "Annotations"}
    kept = {key: value for key, value in layout.items() if default.get(key) != value}
    return Recognised(kept, f"Pascal VOC: {layout['images']}, {layout['annotations']}")


class _Coco(NamedTuple):
    path: Path
    images: frozenset[str]  # names of their files
    has_boxes: bool
    is_other: bool  # keypoints, captions, panoptic


def _coco(source: Path, files: Sequence[Path], images: Sequence[Path]) -> Recognised | None:
    documents = [found for path in files if path.suffix.lower() == ".json" for found in _read_coco(path)]
    if not documents:
        return None
    chosen = [found for found in documents if not found.is_other] or documents
    remarks = [f"{_relative(found.path, source)} is left out: keypoints, captions or segments"
               for found in documents if found not in chosen]  # fmt: skip
    splits = _coco_splits(chosen, source)
    by_path = {found.path: found for found in chosen}
    annotations: Files = {}
    folders: Files = {}
    for split, paths in splits.items():
        _check_disjoint([by_path[path] for path in paths], source)
        found_folders = [_relative(_image_folder(by_path[path], source, images), source) for path in paths]
        names = [_relative(path, source) for path in paths]
        annotations[split] = names[0] if len(names) == 1 else names
        folders[split] = found_folders[0] if len(set(found_folders)) == 1 else found_folders
    layout = {"kind": "coco", "annotations": annotations, "images": folders}
    return Recognised(layout, "COCO annotations", tuple(remarks))


def _coco_splits(chosen: Sequence[_Coco], source: Path) -> dict[str, list[Path]]:
    """The files of each split.

    Raises:
        SourceError: the names of several files say no split; asks for them by name.
    """
    try:
        return by_split([found.path for found in chosen], source)
    except SourceError as error:
        names = {found.path: _relative(found.path, source) for found in chosen}
        example = ", ".join(
            f"{split}: {name}" for split, name in zip(("train", "test", "validation"), names.values(), strict=False)
        )
        raise SourceError(
            f"which split is each of these {len(chosen)} files of annotations? {error.what}",
            where=str(source),
            got="; ".join(f"{names[found.path]} ({len(found.images):,} images)" for found in chosen[:8]),
            expected="train, validation (val, dev) or test in each name",
            next_step="name the files after their splits; or write data/NAME/dataset.yaml by hand with `layout: {kind: "
            f"coco, annotations: {{{example}}}, images: {{...}}}}`, where files in a list are of one split",
        ) from error


def _check_disjoint(documents: Sequence[_Coco], source: Path) -> None:
    for position, one in enumerate(documents):
        for other in documents[position + 1 :]:
            if one.images & other.images:
                raise SourceError(
                    "two files of annotations of the same images",
                    where=str(source),
                    got=f"{_relative(one.path, source)}, {_relative(other.path, source)}: "
                    f"{min(one.images & other.images)} is in both",
                    next_step="move those away that are not to be learnt from",
                )


def _image_folder(document: _Coco, source: Path, images: Sequence[Path]) -> Path:
    """The folder below which most of a document's images are.

    Raises:
        SourceError: none of them is there.
    """
    counts: dict[Path, int] = {}
    names = {name.replace("\\", "/").rpartition("/")[2]: name.replace("\\", "/") for name in document.images}
    for image in images:
        name = names.get(image.name)
        if name is not None:
            full = image.as_posix().endswith("/" + name)
            folder = Path(image.as_posix().removesuffix("/" + name)) if full else image.parent
            if folder == source or source in folder.parents:
                counts[folder] = counts.get(folder, 0) + 1
    if not counts:
        raise SourceError(
            "COCO annotations, and none of their images is there",
            where=str(document.path),
            got=min(document.images, default="no image"),
            expected=f"an image of that name below {source}",
        )
    return max(counts, key=lambda folder: (counts[folder], -len(folder.parts)))


def _read_coco(path: Path) -> list[_Coco]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict) or not {"images", "annotations"} <= document.keys():
        return []
    entries, images = document["annotations"], document["images"]
    if not isinstance(entries, list) or not isinstance(images, list) or not all(isinstance(i, dict) for i in images):
        return []
    first: dict[str, Any] = next((entry for entry in entries if isinstance(entry, dict)), {})
    names = frozenset(str(image.get("file_name")) for image in images)
    is_other = bool({"keypoints", "caption", "segments_info"} & first.keys()) or "categories" not in document
    return [_Coco(path, names, "bbox" in first, is_other)]


def _yolo(source: Path, files: Sequence[Path], images: Sequence[Path]) -> Recognised | None:
    texts = {path for path in files if path.suffix.lower() == ".txt"}
    folders: dict[Path, Path] = {}  # of images: of labels
    for image in images:
        if image.parent in folders:
            continue
        for folder in (image.parent, *_label_folders(image.parent)):
            if (path := folder / f"{image.stem}.txt") in texts and _is_yolo(path):
                folders[image.parent] = folder
                break
    if not folders:
        return None
    classes = _yolo_classes(source, files)
    if len(folders) > 1:
        named = {_split_folder(folder): folder for folder in folders}
        if None in named or len(named) < len(folders):
            got = ", ".join(_relative(folder, source) for folder in folders)
            raise SourceError("several folders of images, and they are not named after splits", where=str(source),
                              got=got, expected="train, validation (val, dev), test")  # fmt: skip
    else:
        named = {"": next(iter(folders))}
    layout = {
        "kind": "yolo",
        "images": {split: _relative(folder, source) for split, folder in named.items()},
        "labels": {split: _relative(folders[folder], source) for split, folder in named.items()},
        "classes": classes,
    }
    return Recognised(layout, f"YOLO: a file of boxes for each image, {len(classes)} classes")


def _label_folders(folder: Path) -> list[Path]:
    """Where the labels of a folder of images may be: `labels` in place of `images` in its path."""
    parts = list(folder.parts)
    return [
        Path(*parts[:position], "labels", *parts[position + 1 :])
        for position in reversed(range(len(parts)))
        if parts[position].lower() == "images"
    ]


def _split_folder(folder: Path) -> str | None:
    return next((name for name in (folder.name, folder.parent.name) if is_split(name)), None)


def _yolo_classes(source: Path, files: Sequence[Path]) -> list[str]:
    """The names of the classes, from a `names:` in YAML or from `classes.txt`.

    Raises:
        SourceError: there is neither.
    """
    for path in files:
        if path.suffix.lower() in (".yaml", ".yml"):
            try:
                document = yaml.safe_load(path.read_bytes())
            except (yaml.YAMLError, UnicodeDecodeError):
                continue
            names = document.get("names") if isinstance(document, dict) else None
            if isinstance(names, dict) and names and set(names) == set(range(len(names))):
                return [str(names[number]) for number in range(len(names))]
            if isinstance(names, list) and names:
                return [str(name) for name in names]
        if path.name.lower() in ("classes.txt", "obj.names", "labels.txt"):
            names = [line.strip() for line in path.read_text("utf-8-sig", errors="replace").splitlines()]
            if any(names):
                return [name for name in names if name]
    raise SourceError(
        "files of boxes as in YOLO, and nothing names their classes",
        where=str(source),
        expected="data.yaml with `names:`, or classes.txt",
        next_step="write the names, one a line in the order of their numbers, into classes.txt",
    )


def _is_voc(path: Path) -> bool:
    try:
        return voc.annotation_root(path).tag == "annotation"
    except SourceError:
        return False


def _is_yolo(path: Path) -> bool:
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return False
    return bool(lines) and all(_BOX_LINE.fullmatch(line) for line in lines[:_LOOKED_AT])


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()
