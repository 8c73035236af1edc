"""Pictures with boxes: COCO, Pascal VOC, YOLO. An object is a rectangle of the colour of its class."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from benchmarks.mutations import pictures
from benchmarks.mutations.dataset import FOLDER_MUTATIONS, Dataset, Mutation, Row, some
from components.ingestion import frames
from components.ingestion.sample import Sample
from components.preprocessing import image

WIDTH, HEIGHT = 96, 64
COLOURS = {"car": (220, 20, 20), "dog": (20, 20, 220), "cup": (20, 200, 20), "Car": (220, 20, 20)}
CLASSES = ("car", "dog", "cup")  # "Car" only as a twin
Box = tuple[str, int, int, int, int]


@dataclass
class Scene:
    """A picture as shown and its boxes.

    Args:
        named: the picture's name in the annotation; `name` is that of the file.
        orientation: of EXIF; 1: none.
        is_annotated: whether the annotation has the picture.
    """

    name: str
    boxes: list[Box]
    suffix: str = ".png"
    split: str | None = None
    named: str = ""
    orientation: int = 1
    is_annotated: bool = True
    declared: tuple[int, int] | None = (WIDTH, HEIGHT)
    crowd: list[Box] = field(default_factory=list)

    def content(self) -> bytes:
        canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        for label, left, top, right, bottom in [*self.boxes, *self.crowd]:
            canvas[top:bottom, left:right] = COLOURS[label]
        picture = Image.fromarray(canvas)
        if self.orientation != 1:
            return pictures.turned(picture, self.orientation)
        return pictures.save(picture, "jpg" if self.suffix.lower() in (".jpg", ".jpeg", ".jfif") else "png")


class Scenes(Dataset):
    """Base of the three forms.

    Attributes:
        frame: of the boxes in the files: the picture as shown, or as stored.
    """

    task: ClassVar[str] = "object-detection"
    early: ClassVar[tuple[str, ...]] = ("EXIF",)
    images_folder: ClassVar[str] = "images"

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.scenes = [Scene(f"pic_{i:03d}", _boxes(rng)) for i in range(24)]
        self.frame = "shown"
        self.label = "{}"
        self.newline, self.encoding = "\n", "utf-8"

    def folder(self, split: str | None) -> str:
        return f"{self.images_folder}/{split}" if split else self.images_folder

    def images(self) -> dict[str, bytes]:
        return {f"{self.folder(one.split)}/{one.name}{one.suffix}": one.content() for one in self.scenes}

    def names(self) -> list[str]:
        """The classes, in the order of their numbers."""
        used = {box[0] for scene in self.scenes for box in scene.boxes}
        return [*CLASSES, *sorted(used - set(CLASSES))]

    def splits(self) -> list[str | None]:
        return sorted({one.split for one in self.scenes}, key=str)

    def truth(self) -> Counter[Row]:
        return Counter((_standard(one.split), tuple(sorted(one.boxes))) for one in self.scenes if one.is_annotated)

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        content = sample.values["image"]
        width, height = frames.shown_size(content) or (0, 0)
        pixels = image.read(content, height, width, 3, settings.decoding()).pixels.astype(int)
        learnt = [box for box in sample.values["boxes"] if not {"crowd", "difficult"} & box.keys()]
        return (sample.split, tuple(sorted(_seen(box, pixels) for box in learnt)))

    def in_file(self, scene: Scene, box: Box) -> Box:
        """A box in the frame of the files."""
        if self.frame == "shown" or scene.orientation == 1:
            return box
        label, left, top, right, bottom = box
        if scene.orientation == 3:
            return label, WIDTH - right, HEIGHT - bottom, WIDTH - left, HEIGHT - top
        if scene.orientation == 6:  # shown = stored turned clockwise: x = H' - y', with H' = WIDTH
            return label, top, WIDTH - right, bottom, WIDTH - left
        return label, HEIGHT - bottom, left, HEIGHT - top, right

    def size(self, scene: Scene) -> tuple[int, int] | None:
        is_turned = self.frame == "stored" and scene.orientation in (6, 8)
        return scene.declared and (scene.declared[::-1] if is_turned else scene.declared)


def _standard(split: str | None) -> str | None:
    return "validation" if split == "val" else split


def _boxes(rng: random.Random) -> list[Box]:
    boxes = []
    for slot in rng.sample(range(3), rng.randint(1, 3)):  # columns of 32 pixels: objects do not overlap
        left, top = 32 * slot + rng.randint(1, 12), rng.randint(1, 30)
        boxes.append((rng.choice(CLASSES), left, top, left + rng.randint(8, 18), top + rng.randint(8, 32)))
    return boxes


def _seen(box: dict[str, Any], pixels: np.ndarray[Any, Any]) -> Row:
    """A box, and whether it is upon an object of its colour."""
    corners = [round(box[side]) for side in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = corners
    inside = pixels[max(0, top + 2) : bottom - 2, max(0, left + 2) : right - 2].reshape(-1, 3)
    colour = COLOURS.get(box["label"], (0, 0, 0))
    fits = len(inside) and float(np.abs(inside - colour).mean()) < 40
    return (box["label"], *corners) if fits else (box["label"], *corners, "beside the object")


class Coco(Scenes):
    """`annotations/instances_<split>.json`."""

    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.strings, self.polygons, self.parts, self.unused = False, False, 1, False

    def files(self) -> dict[str, bytes]:
        files = self.images()
        for split in self.splits():
            scenes = [one for one in self.scenes if one.split == split and one.is_annotated]
            for part in range(self.parts):
                name = f"instances_{split}" if split else "instances"
                name += f"_part{part + 1}" if self.parts > 1 else ""
                document = self.document(scenes[part :: self.parts])
                files[f"annotations/{name}.json"] = json.dumps(document).encode(self.encoding)
        return files

    def document(self, scenes: list[Scene]) -> dict[str, Any]:
        spell = str if self.strings else int
        names = [*self.names(), *(["never"] if self.unused else [])]
        numbers = {name: number + 1 for number, name in enumerate(names)}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, scene in enumerate(scenes):
            size = self.size(scene)
            entry: dict[str, Any] = {"id": spell(number), "file_name": scene.named or scene.name + scene.suffix}
            images.append(entry | ({"width": size[0], "height": size[1]} if size else {}))
            for box, crowd in [*((box, 0) for box in scene.boxes), *((box, 1) for box in scene.crowd)]:
                label, left, top, right, bottom = self.in_file(scene, box)
                one = {"id": len(annotations), "image_id": spell(number), "category_id": spell(numbers[label])}
                polygon = [left, top, right, top, right, bottom, left, bottom]
                place = (
                    {"segmentation": [polygon]} if self.polygons else {"bbox": [left, top, right - left, bottom - top]}
                )
                annotations.append({**one, **place, "iscrowd": crowd})
        categories = [{"id": spell(number), "name": self.label.format(name)} for name, number in numbers.items()]
        return {"images": images, "annotations": annotations, "categories": categories}


class Voc(Scenes):
    """`JPEGImages` and `Annotations`."""

    images_folder: ClassVar[str] = "JPEGImages"
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.suffix, self.declaration, self.form = ".xml", "", "{}"

    def folder(self, split: str | None) -> str:
        return f"{split}/images" if split else self.images_folder

    def files(self) -> dict[str, bytes]:
        files = self.images()
        for scene in self.scenes:
            if scene.is_annotated:
                folder = f"{scene.split}/annotations" if scene.split else "Annotations"
                files[f"{folder}/{scene.name}{self.suffix}"] = self.annotation(scene).encode(self.encoding)
        return files

    def annotation(self, scene: Scene) -> str:
        size = self.size(scene)
        lines = [f"<filename>{scene.named or scene.name + scene.suffix}</filename>"]
        lines += [f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"] if size else []
        for box in [*scene.boxes, *scene.crowd]:
            label, *corners = self.in_file(scene, box)
            flag = f"<difficult>{int(box in scene.crowd)}</difficult>" if scene.crowd else ""
            sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
            inner = "".join(f"<{side}>{self.form.format(value)}</{side}>" for side, value in sides)
            lines.append(f"<object><name>{self.label.format(label)}</name>{flag}<bndbox>{inner}</bndbox></object>")
        return self.declaration + self.newline.join(["<annotation>", *lines, "</annotation>"])


class Yolo(Scenes):
    """`images/[<split>/]` and `labels/[<split>/]`, and a file of names."""

    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.names_file = rng.choice(("data.yaml", "classes.txt", "dictionary"))
        self.polygons, self.number, self.empty_files = False, "{}", True

    def files(self) -> dict[str, bytes]:
        files = self.images()
        names = [self.label.format(name) for name in self.names()]
        if self.names_file == "classes.txt":
            files["classes.txt"] = (self.newline.join(names) + self.newline).encode(self.encoding)
        else:
            shown = names if self.names_file == "data.yaml" else dict(enumerate(names))
            files["data.yaml"] = f"path: ../x\nnc: {len(names)}\nnames: {shown}\n".encode()
        for scene in self.scenes:
            if scene.boxes or self.empty_files:
                text = "".join(self.line(scene, box) + self.newline for box in scene.boxes)
                files[f"{self.folder(scene.split).replace('images', 'labels')}/{scene.name}.txt"] = text.encode(
                    self.encoding
                )
        return files

    def line(self, scene: Scene, box: Box) -> str:
        label, left, top, right, bottom = self.in_file(scene, box)
        width, height = (WIDTH, HEIGHT) if self.frame == "shown" or scene.orientation not in (6, 8) else (HEIGHT, WIDTH)
        number = self.number.format(self.names().index(label))
        if self.polygons:
            points = [(left, top), (right, top), (right, bottom), (left, bottom)]
            return " ".join([number, *(f"{x / width:.6f} {y / height:.6f}" for x, y in points)])
        centre = (left + right) / 2 / width, (top + bottom) / 2 / height
        return f"{number} {centre[0]:.6f} {centre[1]:.6f} {(right - left) / width:.6f} {(bottom - top) / height:.6f}"


class BoxTable(Scenes):
    """`boxes[_<split>].csv`: a row a box, and a row with empty cells for an image without objects."""

    mutations: ClassVar[dict[str, Mutation]] = {}
    early: ClassVar[tuple[str, ...]] = ("EXIF", "form", "sizes")

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.names_row: tuple[str, ...] = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
        self.form, self.mark, self.header, self.number = "corners", ",", True, "{:g}"

    def files(self) -> dict[str, bytes]:
        files = self.images()
        for split in self.splits():
            rows = [list(self.names_row)] if self.header else []
            for scene in self.scenes:
                if scene.split == split and scene.is_annotated:
                    rows += [self.row(scene, box) for box in scene.boxes or [None]]
            name = f"boxes_{split}.csv" if split else "boxes.csv"
            files[name] = "".join(self.mark.join(row) + self.newline for row in rows).encode(self.encoding)
        return files

    def row(self, scene: Scene, box: Box | None) -> list[str]:
        name = scene.named or f"{scene.name}{scene.suffix}"
        name = name if self.header else f"{self.folder(scene.split)}/{name}"
        label, *corners = self.in_file(scene, box) if box is not None else ("", "", "", "", "")
        numbers = corners if box is None else [self.number.format(number) for number in self.in_form(scene, corners)]
        shown = "" if box is None else self.label.format(label)
        if not self.header:
            return [name, *map(str, numbers), shown]
        size = self.size(scene) or ("", "")
        cells = [name, *map(str, size), shown, *map(str, numbers)]
        return cells if len(self.names_row) == len(cells) else [name, shown, *map(str, numbers)]

    def in_form(self, scene: Scene, corners: list[Any]) -> list[float]:
        left, top, right, bottom = corners
        if self.form == "corners":
            return [left, top, right, bottom]
        if self.form == "corner_size":
            return [left, top, right - left, bottom - top]
        centre = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        if self.form == "centre_size":
            return centre
        width, height = (HEIGHT, WIDTH) if self.frame == "stored" and scene.orientation in (6, 8) else (WIDTH, HEIGHT)
        return [centre[0] / width, centre[1] / height, centre[2] / width, centre[3] / height]


def _set(**values: Any) -> Mutation:
    def mutate(data: Scenes) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return mutate


def _exif(frame: str, orientations: tuple[int, ...], *, sizes: bool = True) -> Mutation:
    def mutate(data: Scenes) -> None:
        data.frame = frame
        for scene in some(data.rng, data.scenes, 0.5):
            scene.orientation, scene.suffix = data.rng.choice(orientations), ".jpg"
            scene.named = ""
        if not sizes:
            for scene in data.scenes:  # a wrong size is kept: it is to be found
                scene.declared = None if scene.declared == (WIDTH, HEIGHT) else scene.declared
        data.words += ["turned by EXIF", "stored"]

    return mutate


def _wrong_sizes(data: Scenes) -> None:
    for scene in some(data.rng, data.scenes, 0.3):
        scene.declared = (WIDTH * 2, HEIGHT * 2)
    data.must.append(("another size",))


def _no_objects(data: Scenes) -> None:
    for scene in data.scenes[:3]:
        scene.boxes = []


def _no_files(data: Yolo) -> None:
    _no_objects(data)
    data.empty_files = False


def _suffix(suffix: str) -> Mutation:
    def mutate(data: Scenes) -> None:
        for scene in data.scenes:
            scene.suffix = suffix

    return mutate


def _splits(data: Scenes) -> None:
    for number, scene in enumerate(data.scenes):
        scene.split = ("train", "train", "train", "val", "test")[number % 5]


def _copies(data: Scenes) -> None:
    _splits(data)
    train = [scene for scene in data.scenes if scene.split == "train"][:3]
    data.scenes += [Scene(**{**vars(scene), "split": "val", "name": f"{scene.name}c", "named": ""}) for scene in train]
    data.must.append(("stand in two splits",))


def _named(form: str) -> Mutation:
    def mutate(data: Scenes) -> None:
        for scene in data.scenes:
            scene.named = form.format(scene.name + scene.suffix)

    return mutate


def _crowds(data: Scenes) -> None:
    for scene in data.scenes[:4]:
        if len(scene.boxes) > 1:
            scene.crowd, scene.boxes = scene.boxes[:1], scene.boxes[1:]
    data.must.append(("crowds",))
    data.scenes[4].boxes, data.scenes[4].crowd = [], [("car", 2, 2, 20, 20)]


def _difficult(data: Voc) -> None:
    for scene in data.scenes[:4]:
        if len(scene.boxes) > 1:
            scene.crowd, scene.boxes = scene.boxes[:1], scene.boxes[1:]
    data.scenes[4].boxes, data.scenes[4].crowd = [], [("car", 2, 2, 20, 20)]
    data.must.append(("difficult",))


def _no_number(data: BoxTable) -> None:
    data.number = "~{:g}"
    data.must.append(("no number",))


def _keypoints(data: Coco) -> None:
    split = f"_{data.splits()[0]}" if data.splits()[0] else ""
    document = data.document(data.scenes)
    for one in document["annotations"]:
        one["keypoints"], one["category_id"] = [1, 1, 2], 1
    data.extra[f"annotations/person_keypoints{split}.json"] = json.dumps(document).encode()
    data.must.append(("keypoints",))


def _captions(data: Coco) -> None:
    document = data.document(data.scenes)
    captions = [{"id": 1, "image_id": 1, "caption": "a car"}]
    data.extra["annotations/captions.json"] = json.dumps(
        {"images": document["images"], "annotations": captions}
    ).encode()
    data.must.append(("captions",))


def _unannotated(data: Scenes) -> None:
    for scene in data.scenes[-4:]:
        scene.is_annotated = False
    data.must.append(("without an annotation", "left out", "not annotated", "no annotation"))


def _no_image(data: Voc) -> None:
    folder = f"{data.scenes[0].split}/annotations" if data.scenes[0].split else "Annotations"
    data.extra[f"{folder}/ghost.xml"] = data.annotation(data.scenes[0]).encode(data.encoding)
    data.must.append(("no such image", "left out"))


def _decimal_numbers(data: Yolo) -> None:
    data.number += ".0"


def _unknown_class(data: Yolo) -> None:
    data.number = f"7{data.number}"
    data.must.append(("without a class",))


def _beyond(data: Coco | Voc) -> None:
    label, left, top, right, _ = data.scenes[0].boxes[0]
    data.scenes[0].boxes[0] = (label, left, top, right, HEIGHT + 40)
    data.words += ["beyond"]
    data.must.append(("beyond",))


def _label_twin(data: Scenes) -> None:
    for scene in data.scenes[:5]:
        scene.boxes = [("Car" if box[0] == "car" else box[0], *box[1:]) for box in scene.boxes]
    data.must.append(("look alike",))


_COMMON: dict[str, Mutation] = {
    **FOLDER_MUTATIONS,
    "JPEG": _suffix(".jpg"),
    ".JPG": _suffix(".JPG"),
    ".jfif": _suffix(".jfif"),
    "wrong suffix": _suffix(".gif"),
    "images without objects": _no_objects,
    "given splits": _splits,
    "copies across splits": _copies,
    "byte order mark": _set(encoding="utf-8-sig"),
    "EXIF, boxes of the shown image": _exif("shown", (3, 6, 8)),
    "blanks around labels": _set(label=" {} "),
}
Coco.mutations = {
    **_COMMON,
    "EXIF, boxes of the stored image": _exif("stored", (6, 8)),
    "EXIF, no sizes": _exif("shown", (6,), sizes=False),
    "EXIF, boxes of the stored image, no sizes": _exif("stored", (6,), sizes=False),
    "sizes wrong": _wrong_sizes,
    "names with backslashes": _named("images\\{}"),
    "names with a folder": _named("images/{}"),
    "names of a server": _named("/data/upload/7/{}"),
    "ids as strings": _set(strings=True),
    "polygons only": _set(polygons=True),
    "two files for a split": _set(parts=2),
    "a category without boxes": _set(unused=True),
    "crowds": _crowds,
    "keypoints beside": _keypoints,
    "captions beside": _captions,
    "images that are not in the file": _unannotated,
    "a box beyond its image": _beyond,
    "line ends around labels": _set(label="\n\t{}\n"),
    "UTF-16": _set(encoding="utf-16"),
}
Voc.mutations = {
    **_COMMON,
    "EXIF, boxes of the stored image": _exif("stored", (6, 8)),
    "EXIF, no sizes": _exif("shown", (6,), sizes=False),
    "sizes wrong": _wrong_sizes,
    ".XML": _set(suffix=".XML"),
    "another file name inside": _named("old_{}"),
    "images without annotation": _unannotated,
    "an annotation without image": _no_image,
    "decimals": _set(form="{}.0"),
    "blanks around numbers": _set(form=" {} "),
    "line ends around labels": _set(label="\n    {}\n  "),
    "UTF-16": _set(encoding="utf-16", declaration='<?xml version="1.0" encoding="utf-16"?>\n'),
    "GB2312": _set(encoding="gb2312", declaration='<?xml version="1.0" encoding="GB2312"?>\n'),
    "CRLF": _set(newline="\r\n"),
    "a box beyond its image": _beyond,
    "difficult boxes": _difficult,
}
BoxTable.mutations = {
    **_COMMON,
    "EXIF, boxes of the stored image": _exif("stored", (6, 8)),
    "sizes wrong": _wrong_sizes,
    "names with backslashes": _named(".\\{}"),
    "images that are not in the table": _unannotated,
    "semicolons": _set(mark=";"),
    "CRLF": _set(newline="\r\n"),
    "form: a corner, width and height": _set(
        form="corner_size",
        names_row=("image", "image_width", "image_height", "label", "x", "y", "width", "height"),
    ),
    "form: fractions of the centre": _set(
        form="fractions", number="{:.6f}", names_row=("file", "class", "x_center", "y_center", "width", "height")
    ),
    "form: without a header": _set(header=False),
    "numbers with a sign": _no_number,
    "a box beyond its image": _beyond,
}
Yolo.mutations = {
    **_COMMON,
    "EXIF, boxes of the stored image": _exif("stored", (6, 8)),
    "EXIF, boxes of images turned by half": _exif("stored", (3,)),
    "no files for images without objects": _no_files,
    "polygons": _set(polygons=True),
    "class numbers as decimals": _decimal_numbers,
    "unknown class number": _unknown_class,
    "CRLF": _set(newline="\r\n"),
}
