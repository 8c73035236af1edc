"""Texts with sets of labels, and pictures with masks, as people have them."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from benchmarks.mutations import pictures
from benchmarks.mutations.dataset import FOLDER_MUTATIONS, Dataset, Mutation, Row, sentence, some
from benchmarks.mutations.sheets import DIALECTS, Sheet, split_column, split_files, upper_header
from components.ingestion.sample import Sample

TAGS = ("big", "old", "red", "très petit")
CLASSES = ("background", "car", "dog")
COLOURS = ((0, 0, 0), (220, 20, 20), (20, 20, 220))
WIDTH, HEIGHT = 24, 16


class TaggedTexts(Sheet):
    """Texts and sets of labels: columns of 0 and 1, or lists in one column."""

    task: ClassVar[str] = "multi-label-text-classification"
    early: ClassVar[tuple[str, ...]] = ("form",)
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.column = rng.choice(("tags", "genres", "labels"))
        for number in range(64):
            chosen = tuple(tag for place, tag in enumerate(TAGS) if number >> place & 1)
            text = sentence(rng, number) + rng.choice((".", ", he said", " - café"))
            self.cells.append({"text": text})
            self.rows.append((None, chosen, text))
        self.spell(rng.choice(("flags", ";", "|", "json")))

    def spell(self, form: str) -> None:
        """Write the labels of all rows in a form: columns of 0 and 1, JSON, or with a mark between them."""
        own = list(TAGS) if form == "flags" else [self.column]
        self.columns = ["text", *own]
        for number, row in enumerate(self.rows):
            assert row is not None
            self.cells[number] = {"text": row[2], **self.spelled(form, row[1])}

    def spelled(self, form: str, tags: tuple[str, ...]) -> dict[str, str]:
        if form == "flags":
            return {tag: str(int(tag in tags)) for tag in TAGS}
        return {self.column: json.dumps(tags, ensure_ascii=False) if form == "json" else form.join(tags)}

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, tuple(sample.values["labels"]), sample.values["text"])


def _form(form: str) -> Mutation:
    return lambda data: data.spell(form)


def _bad_flag(data: TaggedTexts) -> None:
    data.spell("flags")
    data.cells[20]["old"] = "-1"
    data.must.append(("nearly",))


def _capitals(data: TaggedTexts) -> None:
    data.spell(";")  # columns of 0 and 1 are named after their labels
    upper_header(data)


def _twice(data: TaggedTexts) -> None:
    data.spell("|")
    row = data.rows[7]
    assert row is not None
    data.cells[7][data.column] = "|".join([*row[1], row[1][0]])
    data.must.append(("a label twice",))


def _one_each(data: TaggedTexts) -> None:
    for number, row in enumerate(data.rows):
        assert row is not None
        data.rows[number] = (row[0], (TAGS[number % len(TAGS)],), row[2])
    data.spell("flags")
    data.must.append(("exactly one label",))


TaggedTexts.mutations = {
    **DIALECTS,
    "split column": split_column,
    "a file a split": split_files,
    **{f"form {form}": _form(form) for form in ("flags", ";", "|", " ; ", "json")},
    "form a flag of -1": _bad_flag,
    "names in capitals and blanks": _capitals,
    "form a label twice": _twice,
    "form one label each": _one_each,
}


@dataclass
class Plate:
    """A picture and its mask."""

    name: str
    numbers: np.ndarray[Any, Any]
    suffix: str = ".png"
    split: str | None = None
    orientation: int = 1
    has_mask: bool = True


class Masks(Dataset):
    """`images/` and `masks/`, with the names of the classes in a file."""

    task: ClassVar[str] = "semantic-segmentation"
    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.plates = [Plate(f"pic_{i:03d}", _numbers(rng)) for i in range(24)]
        self.form, self.mask_suffix, self.in_one, self.mask_kind = "grey", "", False, "png"
        self.names_file = True

    def files(self) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        if self.names_file and self.form == "colours":
            rows = [f"{name},{r},{g},{b}" for name, (r, g, b) in zip(CLASSES, COLOURS, strict=True)]
            files["class_dict.csv"] = "\n".join(["name,r,g,b", *rows, ""]).encode()
        elif self.names_file:
            files["classes.txt"] = "\n".join([*CLASSES, ""]).encode()
        for plate in self.plates:
            below = f"/{plate.split}" if plate.split else ""
            images, masks = ("data", "data") if self.in_one else ("images", "masks")
            picture = Image.fromarray(np.array(COLOURS, np.uint8)[plate.numbers.clip(0, 2)] ^ 9)
            turned = pictures.turned(picture, plate.orientation) if plate.orientation != 1 else None
            files[f"{images}{below}/{plate.name}{plate.suffix}"] = turned or pictures.save(picture, "png")
            if plate.has_mask:
                files[f"{masks}{below}/{plate.name}{self.mask_suffix}.{self.mask_kind}"] = self.mask(plate)
        return files

    def mask(self, plate: Plate) -> bytes:
        numbers = plate.numbers.astype(np.uint8)
        if plate.orientation == 6:  # of the picture as stored
            numbers = np.ascontiguousarray(np.rot90(numbers))
        image = Image.fromarray(numbers)
        if self.form == "colours":
            image = Image.fromarray(np.array(COLOURS, np.uint8)[numbers])
        elif self.form == "palette":
            image.putpalette([level for number in range(256) for level in (*COLOURS, (number,) * 3)[min(number, 3)]])
        elif self.form == "three channels":
            image = Image.merge("RGB", (image, image, image))
        stream = io.BytesIO()
        image.save(stream, "JPEG" if self.mask_kind == "jpg" else self.mask_kind.upper())
        return stream.getvalue()

    def truth(self) -> Counter[Row]:
        return Counter(
            ("validation" if one.split == "val" else one.split, _spelled(one.numbers, dict(enumerate(CLASSES))))
            for one in self.plates
            if one.has_mask
        )

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        numbers = np.asarray(Image.open(io.BytesIO(sample.values["mask"])))
        names = {int(number): name for number, name in sample.values["mask_classes"].items()}
        return (sample.split, _spelled(numbers, names))


def _numbers(rng: random.Random) -> np.ndarray[Any, Any]:
    numbers = np.zeros((HEIGHT, WIDTH), np.int64)
    for number in rng.sample((1, 2), rng.randint(1, 2)):
        left, top = 12 * (number - 1) + rng.randint(0, 4), rng.randint(0, 8)
        numbers[top : top + rng.randint(3, 7), left : left + rng.randint(3, 7)] = number
    return numbers


def _spelled(numbers: np.ndarray[Any, Any], names: dict[int, str]) -> str:
    letters = {number: name[0] for number, name in names.items()}
    return "/".join("".join(letters.get(number, "-") for number in row) for row in numbers.tolist())


def _plates(**values: Any) -> Mutation:
    def mutate(data: Masks) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return mutate


def _split_plates(data: Masks) -> None:
    for number, plate in enumerate(data.plates):
        plate.split = ("train", "train", "train", "val", "test")[number % 5]


def _ignored(data: Masks) -> None:
    for plate in some(data.rng, data.plates, 0.5):
        plate.numbers = plate.numbers.copy()
        plate.numbers[-1] = 255
    data.form = "grey"
    data.must.append(("are ignored",))


def _without_masks(data: Masks) -> None:
    for plate in data.plates[-3:]:
        plate.has_mask = False
    data.must.append(("without a mask",))


def _ghost(data: Masks) -> None:
    folder = "data" if data.in_one else "masks" + (f"/{data.plates[0].split}" if data.plates[0].split else "")
    data.extra[f"{folder}/ghost{data.mask_suffix}.png"] = data.mask(data.plates[0])
    data.must.append(("without an image", "left out"))


def _other_size(data: Masks) -> None:
    data.plates[3].numbers = data.plates[3].numbers.copy()
    image = Image.fromarray(data.plates[3].numbers.astype(np.uint8)).resize((WIDTH * 2, HEIGHT * 2))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    data.form, data.in_one, data.mask_suffix = "grey", False, ""
    below = f"/{data.plates[3].split}" if data.plates[3].split else ""
    data.extra[f"masks{below}/{data.plates[3].name}.png"] = stream.getvalue()
    data.must.append(("not of the size",))


def _stored(data: Masks) -> None:
    for plate in data.plates[::3]:
        plate.orientation, plate.suffix = 6, ".jpg"
    data.must.append(("turned with them", "as shown is assumed"))


def _lossy(data: Masks) -> None:
    data.mask_kind, data.form, data.names_file = "jpg", "three channels", False
    for plate in data.plates:
        plate.numbers = np.where(plate.numbers > 0, 2, 0)
    data.words += ["made up"]
    data.must.append(("made up", "no classes"))


Masks.mutations = {
    **FOLDER_MUTATIONS,
    **{f"form {form}": _plates(form=form) for form in ("palette", "three channels", "colours")},
    "a suffix of masks": _plates(mask_suffix="_mask"),
    "all in one folder": _plates(mask_suffix="_gt", in_one=True),
    "masks as BMP": _plates(mask_kind="bmp"),
    "masks as JPEG": _lossy,
    "given splits": _split_plates,
    "ignored pixels": _ignored,
    "images without masks": _without_masks,
    "a mask without an image": _ghost,
    "a mask of another size": _other_size,
    "EXIF, masks of the stored image": _stored,
}
