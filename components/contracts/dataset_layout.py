"""Layouts of source files, and the fields of the samples that are read from them: one class for each layout."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.contracts.annotation_layout import BoxTableLayout as BoxTableLayout
from components.contracts.annotation_layout import InstructionLayout as InstructionLayout
from components.contracts.annotation_layout import LabelStudioLayout as LabelStudioLayout
from components.contracts.annotation_layout import SpanLayout as SpanLayout
from components.contracts.sample_fields import Fields as Fields
from components.contracts.sample_fields import Kind as Kind
from components.contracts.table_layout import Columns as Columns
from components.contracts.table_layout import TableLayout as TableLayout
from components.contracts.table_layout import TextEncoding, is_default
from components.contracts.transcript_layout import TranscriptLayout as TranscriptLayout
from components.core.strict import Strict

_IMAGES: Fields = {"image": "binary", "label": "text"}
_MASKS: Fields = {"image": "binary", "mask": "binary", "mask_classes": "json"}
MOST_CLASSES = 255  # of a mask, whose pixels are bytes; 255 is an ignored pixel
_OWN = frozenset({"id", "split", "sound"})  # names that a pattern cannot use


def _check_same_splits(one: str | dict[str, str], other: str | dict[str, str]) -> None:
    splits = [set(names) if isinstance(names, dict) else None for names in (one, other)]
    if splits[0] != splits[1]:
        raise ValueError("images and annotations name different splits")


class SplitRows(Strict):
    """Number of rows of each split of a table in time order, one split after the other; further rows are not used."""

    train: int = Field(ge=1)
    validation: int = Field(ge=1)
    test: int = Field(ge=1)


class FolderLayout(Strict):
    """Images or texts in one folder for each class: `<class>/x.jpg`, or `<split>/<class>/x.jpg` with `splits: true`.

    Args:
        splits: whether there are split folders; or their split names by folder name; other folders are left out.
        classes: class names by folder name; other folders are left out. Default: the names of the folders.
        text: whether the files are texts, `<class>/x.txt`.
        encoding: of texts. A byte that is not UTF-8 becomes U+FFFD, which is counted; in another encoding it is
            refused, with its file and line. A byte order mark of UTF-16 says its own.
    """

    kind: Literal["folder"]
    root: str = "."
    splits: bool | dict[str, str] = False
    classes: dict[str, str] | None = None
    text: bool = False
    encoding: TextEncoding = Field(default="utf-8", exclude_if=is_default("utf-8"))

    @model_validator(mode="after")
    def _encoding_of_texts(self) -> Self:
        if self.encoding != "utf-8" and not self.text:
            raise ValueError("encoding: needs text: true")
        return self

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        return {"text": "text", "label": "text"} if self.text else _IMAGES


class IdxLayout(Strict):
    """The idx format of MNIST: an image file and a label file for each split (gzip or plain)."""

    kind: Literal["idx"]
    images: dict[str, str]
    labels: dict[str, str]
    classes: list[str] = Field(min_length=2)

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        return _IMAGES

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.images.keys() != self.labels.keys():
            raise ValueError("images and labels name different splits")
        return self


class CifarLayout(Strict):
    """The binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): for each image a label byte, then
    32x32 pixels of red, of green and of blue; several files for each split."""

    kind: Literal["cifar"]
    files: dict[str, list[str]]
    classes: list[str] = Field(min_length=2)

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        return _IMAGES


class WindowsLayout(Strict):
    """Windows of a CSV in time order, with the label `rise` or `fall`: whether a column rises after the window.

    A window belongs to a split if all its rows, and the rows that its label depends on, do.

    Args:
        values: columns of a window's numbers; `values` of a sample are the rows of the window, concatenated.
        rising: the column that is compared: the label is `rise` if its value `horizon` rows after the window's last row
            is higher than in that row.
        look_back: number of rows of a window.
        stride: rows from the start of one window to the start of the next.
        rows: number of rows of each split.
    """

    kind: Literal["windows"]
    file: str
    values: list[str] = Field(min_length=1)
    rising: str
    look_back: int = Field(ge=1)
    horizon: int = Field(ge=1)
    stride: int = Field(default=1, ge=1)
    time: str | None = None
    rows: SplitRows

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds; `time` is the time of the window's last row."""
        return {**({"time": "text"} if self.time is not None else {}), "values": "numbers", "label": "text"}

    @property
    def overlap(self) -> int:
        """Number of neighbouring samples, itself included, that a sample shares rows with, its label's row included."""
        return -(-(self.look_back + self.horizon) // self.stride)


class ConllLayout(Strict):
    """One token a line, its tag in the last column, an empty line after each sentence; files by their splits,
    one or several each.

    The samples of the file "" have no split yet.
    """

    kind: Literal["conll"]
    files: dict[str, str | list[str]]
    encoding: TextEncoding = "utf-8"

    @property
    def fields(self) -> Fields:
        """Fields of the samples: a list of tokens, and a list of as many tags."""
        return {"tokens": "json", "tags": "json"}


class PairsLayout(Strict):
    """Texts and their translations in two files of the same number of lines (gzip or plain), by their splits.

    The samples of the files "" have no split yet.

    Args:
        encoding: of the files of both languages; a byte order mark of UTF-16 says its own.
        group: files of as many lines, each of which says what its pair belongs to (a document, a talk): the field
            `group`, which `split: {group: group}` keeps in one split.
    """

    kind: Literal["pairs"]
    source: dict[str, str]
    target: dict[str, str]
    encoding: TextEncoding = Field(default="utf-8", exclude_if=is_default("utf-8"))
    group: dict[str, str] | None = Field(default=None, exclude_if=is_default(None))

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        fields: Fields = {"source": "text", "target": "text"}
        return fields if self.group is None else {**fields, "group": "text"}

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.source.keys() != self.target.keys():
            raise ValueError("source and target name different splits")
        if self.group is not None and self.group.keys() != self.source.keys():
            raise ValueError("source and group name different splits")
        return self


class VocLayout(Strict):
    """Pascal VOC: `JPEGImages/<name>.jpg`, `Annotations/<name>.xml`, and `ImageSets/Main/<split>.txt` if there are any.

    If there are sets, names that are in none of them are left out.

    Args:
        images, annotations: the folders below `root`; or folders by their splits, where each split has its own. Images
            and annotations may be in one folder.
        unannotated: what an image without an annotation is: left out, or an image without objects.
        sizes: what to do if an annotation's image size is not the file's: refuse, or ignore what the annotation says.
        masks: boxes become a mask of classes: the ellipse in each box, or its rectangle; smaller boxes are above larger
            ones, what is in no box is `background`.
    """

    kind: Literal["voc"]
    root: str = "."
    images: str | dict[str, str] = Field(default="JPEGImages", exclude_if=is_default("JPEGImages"))
    annotations: str | dict[str, str] = Field(default="Annotations", exclude_if=is_default("Annotations"))
    unannotated: Literal["leave_out", "background"] = Field(default="leave_out", exclude_if=is_default("leave_out"))
    sizes: Literal["refuse", "ignore"] = Field(default="refuse", exclude_if=is_default("refuse"))

    masks: Literal["ellipses", "rectangles"] | None = Field(default=None, exclude_if=is_default(None))

    @property
    def fields(self) -> Fields:
        """Fields of the samples; a box is {label, xmin, ymin, xmax, ymax} in pixels, and `difficult: true` (VOC) or
        `crowd: true` (COCO) where it is neither learnt nor counted as a miss; or as of `MasksLayout`."""
        return {"image": "binary", "boxes": "json"} if self.masks is None else _MASKS

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        _check_same_splits(self.images, self.annotations)
        return self


class CocoLayout(Strict):
    """COCO: JSON files of annotations and a folder of images, by their splits.

    The samples of the file "" have no split yet. Where a split has several files, it may have as many folders, in the
    same order, or one for all.

    Args:
        sizes: as in `VocLayout`.
        masks: `segments`: polygons and run lengths become a mask of classes, those of crowds too; smaller segments are
            above larger ones, what is in no segment is `background`.
    """

    kind: Literal["coco"]
    annotations: dict[str, str | list[str]]
    images: dict[str, str | list[str]]
    sizes: Literal["refuse", "ignore"] = Field(default="refuse", exclude_if=is_default("refuse"))

    masks: Literal["segments"] | None = Field(default=None, exclude_if=is_default(None))

    @property
    def fields(self) -> Fields:
        """Fields of the samples; a box is {label, xmin, ymin, xmax, ymax} in pixels, and `difficult: true` (VOC) or
        `crowd: true` (COCO) where it is neither learnt nor counted as a miss; or as of `MasksLayout`."""
        return {"image": "binary", "boxes": "json"} if self.masks is None else _MASKS

    def parts(self) -> list[tuple[str, str, str]]:
        """(split, file of annotations, folder of images) of each file, in order."""
        parts = []
        for split, files in self.annotations.items():
            names = [files] if isinstance(files, str) else files
            folders = self.images[split]
            each = [folders] * len(names) if isinstance(folders, str) else folders
            parts += [(split, name, folder) for name, folder in zip(names, each, strict=True)]
        return parts

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.annotations.keys() != self.images.keys():
            raise ValueError("annotations and images name different splits")
        for split, folders in self.images.items():
            files = self.annotations[split]
            if isinstance(folders, list) and len(folders) != (1 if isinstance(files, str) else len(files)):
                raise ValueError(f"{split}: give one folder of images, or one for each file of annotations")
        return self


class YoloLayout(Strict):
    """YOLO: a text file of boxes for each image (https://docs.ultralytics.com/datasets/detect/), by their splits.

    A line is `class x y width height`, the centre and the sides as parts of the image's width and height; or
    `class x1 y1 x2 y2 ...`, the corners of a polygon, whose box is taken. An image without a file has no objects.

    Args:
        images, labels: folders by their splits; "" for samples without a split yet.
        classes: names of the classes, by number.
    """

    kind: Literal["yolo"]
    images: dict[str, str]
    labels: dict[str, str]
    classes: list[str] = Field(min_length=1)

    @property
    def fields(self) -> Fields:
        """Fields of the samples; a box is {label, xmin, ymin, xmax, ymax} in pixels."""
        return {"image": "binary", "boxes": "json"}

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        _check_same_splits(self.images, self.labels)
        return self


class MasksLayout(Strict):
    """Images and masks of the same size whose pixels tell the class: `images/x.jpg` and `masks/x.png`.

    A mask is an image of class numbers (grey, or the numbers of a palette), or of a colour for each class.

    Args:
        images, masks: folders below `root`, which may be one; or folders by their splits. Folders inside them agree.
        mask_suffix: what the name of a mask has behind the name of its image, as in `x_mask.png`.
        classes: the names of the classes in the order of their numbers; or the number of each class by its name; or the
            colour of each class, [red, green, blue].
        ignore: number or colour of pixels that are neither learnt nor scored.
    """

    kind: Literal["masks"]
    root: str = "."
    images: str | dict[str, str] = "images"
    masks: str | dict[str, str] = "masks"
    mask_suffix: str = ""
    classes: list[str] | dict[str, int] | dict[str, list[int]] = Field(min_length=2, max_length=MOST_CLASSES)
    ignore: int | list[int] | None = None

    @property
    def fields(self) -> Fields:
        """Fields of the samples: the image; the mask as a PNG file of class numbers, 255 for ignored pixels; and the
        name of each number that occurs in it."""
        return _MASKS

    @property
    def by_value(self) -> dict[int, str]:
        """The names of the classes by the number of a pixel, or by its colour as red * 65536 + green * 256 + blue."""
        if isinstance(self.classes, list):
            return dict(enumerate(self.classes))
        return {pixel_value(value): name for name, value in self.classes.items()}

    @property
    def in_colours(self) -> bool:
        """Whether pixels tell their class by their colour."""
        return isinstance(self.classes, dict) and any(isinstance(value, list) for value in self.classes.values())

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        _check_same_splits(self.images, self.masks)
        values = list(self.classes.values()) if isinstance(self.classes, dict) else []
        for value in [*values, *([] if self.ignore is None else [self.ignore])]:
            if isinstance(value, list) and not (len(value) == 3 and all(0 <= level <= 255 for level in value)):
                raise ValueError("a colour is [red, green, blue], each of 0 to 255")
            if isinstance(value, int) and not 0 <= value <= 65_535:
                raise ValueError("the number of a class is one of 0 to 65535")
        if self.ignore is not None and isinstance(self.ignore, list) != self.in_colours:
            raise ValueError("ignore: is a colour if classes: has colours, else a number")
        if len(set(self.by_value.values())) < len(self.classes) or len(self.by_value) < len(self.classes):
            raise ValueError("classes: a name, a number or a colour stands twice")
        if self.ignore is not None and pixel_value(self.ignore) in self.by_value:
            raise ValueError("ignore: is the number or the colour of a class")
        if self.images == self.masks and not self.mask_suffix:
            raise ValueError("images and masks in one folder need mask_suffix:")
        return self


def pixel_value(value: int | list[int]) -> int:
    """A class number itself; a colour as red * 65536 + green * 256 + blue."""
    return value if isinstance(value, int) else (value[0] << 16) + (value[1] << 8) + value[2]


class WavLayout(Strict):
    """WAV files whose paths have the label.

    Args:
        pattern: pattern of a file's path below `root`, such as `{label}_{speaker}_{index}.wav` or `{label}/{name}.wav`.
        test, validation: values of the pattern's names that assign a file to the split; other files are train.
        texts: what is said in the files of each label: the field `text`. Default: there is no such field.
    """

    kind: Literal["wav"]
    root: str = "."
    pattern: str
    test: dict[str, list[str]] = Field(default={})
    validation: dict[str, list[str]] = Field(default={})
    texts: dict[str, str] | None = Field(default=None, min_length=1, exclude_if=is_default(None))

    @property
    def names(self) -> list[str]:
        """Names in the pattern, in order."""
        return re.findall(r"\{(\w+)\}", self.pattern)

    @property
    def fields(self) -> Fields:
        """Fields of the samples: the file, and the names in the pattern."""
        fields: Fields = {"sound": "binary", **dict.fromkeys(self.names, "text")}
        return fields if self.texts is None else {**fields, "text": "text"}

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        names = self.names
        if "label" not in names or len(set(names)) < len(names) or _OWN & set(names):
            raise ValueError(f"the pattern needs {{label}}, no name twice, and none of {', '.join(sorted(_OWN))}")
        if self.texts is not None and "text" in names:
            raise ValueError("texts: the pattern has a name {text} of its own")
        if unknown := sorted({*self.test, *self.validation} - set(names)):
            raise ValueError(f"the pattern has no {', '.join(unknown)}")
        return self


Layout = Annotated[
    FolderLayout
    | IdxLayout
    | CifarLayout
    | TableLayout
    | WindowsLayout
    | ConllLayout
    | PairsLayout
    | VocLayout
    | CocoLayout
    | YoloLayout
    | BoxTableLayout
    | SpanLayout
    | LabelStudioLayout
    | InstructionLayout
    | MasksLayout
    | TranscriptLayout
    | WavLayout,
    Field(discriminator="kind"),
]
