"""Pictures in class folders, and pictures that a table lists with their labels."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.mutations import pictures
from benchmarks.mutations.dataset import CLASSES, FOLDER_MUTATIONS, Dataset, Mutation, Row, some
from components.ingestion.sample import Sample

SPLITS = ("train", "validation", "test")


@dataclass
class Picture:
    """A picture and its file; `name` is without suffix, `folder` is the class as the files spell it."""

    number: int
    label: str
    folder: str
    name: str
    content: bytes
    suffix: str
    split: str | None = None
    is_readable: bool = True


class ClassFolders(Dataset):
    """`<class>/<file>`, or `<split>/<class>/<file>`."""

    task: ClassVar[str] = "image-classification"
    early: ClassVar[tuple[str, ...]] = ("all ", "some ")

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        classes = rng.choice(CLASSES)
        numbers = rng.sample(range(4096), 12 * len(classes))
        form = rng.choice(("png", "jpg", "grey", "bmp"))
        self.pictures = [
            Picture(number, label := classes[i % len(classes)], label, f"img_{i:03d}", *pictures.encode(number, form))
            for i, number in enumerate(numbers)
        ]

    def files(self) -> dict[str, bytes]:
        named = {}
        for one in self.pictures:
            parts = [*([one.split] if one.split else []), one.folder, one.name + one.suffix]
            named["/".join(parts)] = one.content
        return named

    def truth(self) -> Counter[Row]:
        return Counter((one.split, one.label, one.number) for one in self.pictures if one.is_readable)

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, sample.values["label"], pictures.number_of(sample.values["image"], settings))

    def classes(self) -> list[str]:
        return sorted({one.label for one in self.pictures})


class ListedPictures(ClassFolders):
    """A CSV file of paths and labels beside the pictures."""

    mutations: ClassVar[dict[str, Mutation]] = {}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.cell = "images/{name}{suffix}"
        self.delimiter = ","
        self.encoding = "utf-8"
        self.newline = "\n"
        self.split_column = False
        for one in self.pictures:
            one.folder = "images"

    def files(self) -> dict[str, bytes]:
        head = ["id", "image", "label", *(["split"] if self.split_column else [])]
        lines = [self.delimiter.join(head)]
        for i, one in enumerate(self.pictures):
            cells = [str(i), self.cell.format(name=one.name, suffix=one.suffix), one.label]
            lines.append(self.delimiter.join([*cells, *([one.split or ""] if self.split_column else [])]))
        table = (self.newline.join(lines) + self.newline).encode(self.encoding)
        return {"labels.csv": table, **{f"images/{one.name}{one.suffix}": one.content for one in self.pictures}}


def _form(form: str, *, every: bool) -> Mutation:
    def mutate(data: ClassFolders) -> None:
        for one in data.pictures if every else some(data.rng, data.pictures):
            one.content, one.suffix = pictures.encode(one.number, form)
        if "float" in form or "16-bit" in form:
            data.words += ["levels", "cannot be read"]  # files of several depths cannot share a range

    return mutate


def _suffix(suffix: str) -> Mutation:
    def mutate(data: ClassFolders) -> None:
        for one in some(data.rng, data.pictures, 0.4):
            one.suffix = suffix
        data.words.append("left out")  # BMP files of another suffix: their first bytes say too little

    return mutate


def _nfd(data: ClassFolders) -> None:
    for one in some(data.rng, data.pictures, 0.5):
        one.folder = unicodedata.normalize("NFD", one.folder)
        one.name = unicodedata.normalize("NFD", f"größe_{one.name}")


def _blanks(data: ClassFolders) -> None:
    twin = data.classes()[0]
    for one in data.pictures:
        if one.label == twin and one.number % 2:
            one.folder = f"{twin} "


def _case_variant(data: ClassFolders) -> None:
    twin = data.classes()[0]
    for one in some(data.rng, [one for one in data.pictures if one.label == twin], 0.5):
        one.folder = one.label = twin.upper() if twin.upper() != twin else twin.lower()
    data.must.append(("look alike",))


def _splits(data: ClassFolders) -> None:
    for i, one in enumerate(data.pictures):
        one.split = ("train", "train", "train", "test", "validation")[i // len(data.classes()) % 5]


def _copy_across_splits(data: ClassFolders) -> None:
    _splits(data)
    train = [one for one in data.pictures if one.split == "train"]
    for one in some(data.rng, train, 0.2):
        data.pictures.append(Picture(**{**vars(one), "name": f"{one.name}_again", "split": "test"}))
    data.must.append(("stand in two splits",))


def _conflict(data: ClassFolders) -> None:
    for one in data.pictures[:2]:
        other = next(label for label in data.classes() if label != one.label)
        folder = other if one.folder == one.label else one.folder
        copy = Picture(**{**vars(one), "name": f"{one.name}_copy", "label": other, "folder": folder})
        data.pictures.append(copy)
    data.must.append(("another label",))


def _rare_class(data: ClassFolders) -> None:
    one = data.pictures[-1]
    one.label = "rare"
    one.folder = "rare" if not isinstance(data, ListedPictures) else one.folder
    data.must.append(("fewer than", "rare"))


def _single_class(data: ClassFolders) -> None:
    for one in data.pictures:
        one.folder = one.folder if one.folder != one.label else "only"
        one.label = "only"
    data.must.append(("single class",))


def _empty_class(data: ClassFolders) -> None:
    data.empty_folders.append("empty class")
    data.words += ["empty class"]
    data.must.append(("empty class",))


def _unknown_class(data: ClassFolders) -> None:
    data.extra |= {f"mystery/{i}.xyz": bytes([i] * 20) for i in range(5)}
    data.must.append(("mystery", ".xyz"))


def _damaged(how: str) -> Mutation:
    def mutate(data: ClassFolders) -> None:
        for one in data.pictures[:2]:
            content = pictures.encode(one.number, "jpg")[0] if how == "cut" else one.content
            one.suffix = ".jpg" if how == "cut" else one.suffix
            one.content = {"cut": content[: len(content) // 2], "empty": b"", "text": b"<html>404</html>"}[how]
            one.is_readable = False
        data.words += ["cannot be read"]

    return mutate


def _subfolders(data: ClassFolders) -> None:
    for one in some(data.rng, data.pictures, 0.5):
        one.name = f"part1/{one.name}"


def _notes_beside(data: ClassFolders) -> None:
    data.extra |= {f"{data.pictures[0].folder}/notes.txt": b"a note", f"{data.pictures[0].folder}/index.html": b"<p>"}
    data.must.append((".txt",))


def _huge(data: ClassFolders) -> None:
    one = data.pictures[0]
    one.content, one.suffix = pictures.huge(one.number), ".jpg"


def _odd_names(data: ClassFolders) -> None:
    for one, name in zip(data.pictures, ("a b", "c#1", "d%20e", "é", "f'g", "[h]", "i.j.k", "l&m"), strict=False):
        one.name = name


PICTURE_MUTATIONS: dict[str, Mutation] = {
    **FOLDER_MUTATIONS,
    **{f"all {form}": _form(form, every=True) for form in pictures.FORMS[2:]},
    **{f"some {form}": _form(form, every=False) for form in pictures.FORMS},
    ".JPG": _suffix(".JPG"),
    ".jfif": _suffix(".jfif"),
    "wrong suffix": _suffix(".png"),
    "cut JPEG": _damaged("cut"),
    "empty file": _damaged("empty"),
    "a page as picture": _damaged("text"),
    "48 megapixels": _huge,
    "odd names": _odd_names,
    "conflicting labels": _conflict,
    "one sample in a class": _rare_class,
    "a single class": _single_class,
}
ClassFolders.mutations = {
    **PICTURE_MUTATIONS,
    "no suffix": _suffix(""),
    "names in NFD": _nfd,
    "blank behind a class": _blanks,
    "case variants": _case_variant,
    "given splits": _splits,
    "copies across splits": _copy_across_splits,
    "empty class folder": _empty_class,
    "class of unknown files": _unknown_class,
    "subfolders": _subfolders,
    "notes beside": _notes_beside,
}


def _cells(form: str) -> Mutation:
    def mutate(data: ListedPictures) -> None:
        data.cell = form

    return mutate


def _set(**values: Any) -> Mutation:
    def mutate(data: ListedPictures) -> None:
        for key, value in values.items():
            setattr(data, key, value)

    return mutate


def _split_column(data: ListedPictures) -> None:
    _splits(data)
    data.split_column = True


def _copies_in_split_column(data: ListedPictures) -> None:
    _copy_across_splits(data)
    data.split_column = True


def _missing_picture(data: ListedPictures) -> None:
    data.pictures[-1].is_readable = False
    files = data.files
    name = f"images/{data.pictures[-1].name}{data.pictures[-1].suffix}"
    data.files = lambda: {key: content for key, content in files().items() if key != name}  # type: ignore[method-assign]
    data.words += ["no such image", "left out"]


def _unlisted_picture(data: ListedPictures) -> None:
    data.extra["images/unlisted.png"] = pictures.encode(1, "png")[0]
    data.must.append(("left out",))


ListedPictures.mutations = {
    **PICTURE_MUTATIONS,
    "names without folder": _cells("{name}{suffix}"),
    "names without suffix": _cells("{name}"),
    "paths with backslashes": _cells("images\\{name}{suffix}"),
    "paths with ./": _cells("./images/{name}{suffix}"),
    "delimiter ;": _set(delimiter=";"),
    "tabs": _set(delimiter="\t"),
    "byte order mark": _set(encoding="utf-8-sig"),
    "UTF-16": _set(encoding="utf-16"),
    "CRLF": _set(newline="\r\n"),
    "CR": _set(newline="\r"),
    "split column": _split_column,
    "copies across splits": _copies_in_split_column,
    "a listed picture is missing": _missing_picture,
    "a picture is not listed": _unlisted_picture,
}
