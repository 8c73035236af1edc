"""How the files of a source lie, and what fields the samples read from them have: one class a layout."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.core.strict import Strict

Kind = Literal["text", "binary", "numbers", "json"]  # of a field of raw samples: str, bytes, float64 (n,), any JSON
Fields = dict[str, Kind]

_IMAGES: Fields = {"image": "binary", "label": "text"}
_OWN = frozenset({"id", "split", "sound"})  # what a name in a pattern cannot be


class SplitRows(Strict):
    """How many rows of a table in time order belong to each split, one behind the other; what follows is not used."""

    train: int = Field(ge=1)
    validation: int = Field(ge=1)
    test: int = Field(ge=1)


class FolderLayout(Strict):
    """Images or texts in one folder a class: `<class>/x.jpg`, or `<split>/<class>/x.jpg` with `splits: true`.

    Args:
        splits: or which split each folder is, where their names say something else; other folders are left out.
        classes: the names of the classes by those of their folders; other folders are left out. Default: the folders'.
        text: the files are texts, `<class>/x.txt` in UTF-8.
    """

    kind: Literal["folder"]
    root: str = "."
    splits: bool | dict[str, str] = False
    classes: dict[str, str] | None = None
    text: bool = False

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return {"text": "text", "label": "text"} if self.text else _IMAGES


class IdxLayout(Strict):
    """The idx format of MNIST: an image file and a label file for each split (gzip or plain)."""

    kind: Literal["idx"]
    images: dict[str, str]
    labels: dict[str, str]
    classes: list[str] = Field(min_length=2)

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return _IMAGES

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.images.keys() != self.labels.keys():
            raise ValueError("images and labels name different splits")
        return self


class CifarLayout(Strict):
    """The binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): a label byte, then 32x32 pixels of
    red, of green, of blue, and so on; several files a split."""

    kind: Literal["cifar"]
    files: dict[str, list[str]]
    classes: list[str] = Field(min_length=2)

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return _IMAGES


class Columns(Strict):
    """Which columns of a CSV, TSV (no quoting; both gzip or plain) or Parquet file make a sample.

    A sample holds one of image, text and values; and its label, unless `label: null`.

    Args:
        label: column of the label.
        image: column of the image: encoded bytes (Parquet; also a struct with `bytes`) or a path beside the file.
        pixels: prefix of the columns that hold one grey pixel each (0 to 255), row by row.
        text: column of the text.
        values: names of the columns that hold one number each, in order; or the prefix of columns numbered from 0 on;
            or, of a Parquet file, one column of lists. An empty cell is NaN.
        time: column of the time, kept as text.
        split: column of the split, if the file has one.
        classes: names of the labels where the column holds their numbers.
        header: whether the first line names the columns; where it does not, `columns` does.
        encoding: of CSV and TSV; a byte that is none of it is refused, with its line.
    """

    kind: Literal["csv", "tsv", "parquet"]
    label: str | None = "label"
    image: str | None = None
    pixels: str | None = None
    text: str | None = None
    values: str | list[str] | None = None
    time: str | None = None
    split: str | None = None
    classes: list[str] | None = None
    header: bool = True
    columns: list[str] | None = None
    encoding: Literal["utf-8", "latin-1"] = "utf-8"

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        fields: Fields = {}
        if self.time is not None:
            fields["time"] = "text"
        if self.text is not None:
            fields["text"] = "text"
        elif self.values is not None:
            fields["values"] = "numbers"
        else:
            fields["image"] = "binary"
        if self.label is not None:
            fields["label"] = "text"
        return fields

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if [self.image, self.pixels, self.text, self.values].count(None) != 3:
            raise ValueError("give one of image:, pixels:, text:, values:")
        if self.header != (self.columns is None):
            raise ValueError("columns: goes with header: false, and header: false with columns:")
        if self.kind == "parquet" and not self.header:
            raise ValueError("a Parquet file names its columns itself")
        if self.pixels is not None and self.kind == "tsv":
            raise ValueError("pixels: of CSV and Parquet files only")
        return self


class TableLayout(Columns):
    """CSV, TSV or Parquet files by their splits, one row a sample; a file under the name "" leaves its split open."""

    files: dict[str, str]


class WindowsLayout(Strict):
    """Windows of a CSV in time order, labelled by whether a column rises behind them: the label is `rise` or `fall`.

    A window belongs to a split if all its rows and the rows that its label depends on do: none reaches over a border.

    Args:
        values: columns of a window's numbers; a sample's `values` are its rows one after another.
        rising: the column that rises if it stands higher `horizon` rows behind the window's last row than in that row.
        look_back: rows of a window.
        stride: rows from one window's begin to the next one's.
        rows: of each split.
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
        """What its samples hold; `time` is of the window's last row."""
        return {**({"time": "text"} if self.time is not None else {}), "values": "numbers", "label": "text"}


class ConllLayout(Strict):
    """One token a line, its tag in the last column, an empty line behind each sentence; files by their splits.

    A file under the name "" leaves its split open.
    """

    kind: Literal["conll"]
    files: dict[str, str]
    encoding: Literal["utf-8", "latin-1"] = "utf-8"

    @property
    def fields(self) -> Fields:
        """What its samples hold: a list of tokens, a list of as many tags."""
        return {"tokens": "json", "tags": "json"}


class PairsLayout(Strict):
    """Texts and their translations in two files of the same number of lines (gzip or plain), by their splits.

    Files under the name "" leave their split open.
    """

    kind: Literal["pairs"]
    source: dict[str, str]
    target: dict[str, str]

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return {"source": "text", "target": "text"}

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.source.keys() != self.target.keys():
            raise ValueError("source and target name different splits")
        return self


class VocLayout(Strict):
    """Pascal VOC: `JPEGImages/<name>.jpg`, `Annotations/<name>.xml`, and `ImageSets/Main/<split>.txt` if there are any.

    Names that stand in no set, where there are sets, are left out.
    """

    kind: Literal["voc"]
    root: str = "."

    @property
    def fields(self) -> Fields:
        """What its samples hold: boxes are {label, xmin, ymin, xmax, ymax} in pixels."""
        return {"image": "binary", "boxes": "json"}


class CocoLayout(Strict):
    """COCO: a JSON file of annotations and a folder of images, by their splits. Crowds are left out."""

    kind: Literal["coco"]
    annotations: dict[str, str]
    images: dict[str, str]

    @property
    def fields(self) -> Fields:
        """What its samples hold: boxes are {label, xmin, ymin, xmax, ymax} in pixels."""
        return {"image": "binary", "boxes": "json"}

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.annotations.keys() != self.images.keys():
            raise ValueError("annotations and images name different splits")
        return self


class WavLayout(Strict):
    """WAV files whose names say what they are.

    Args:
        pattern: of a file's path below `root`, such as `{label}_{speaker}_{index}.wav` or `{label}/{name}.wav`.
        test, validation: values of the pattern's names that put a file there; what is left is train.
    """

    kind: Literal["wav"]
    root: str = "."
    pattern: str
    test: dict[str, list[str]] = Field(default={})
    validation: dict[str, list[str]] = Field(default={})

    @property
    def names(self) -> list[str]:
        """What the pattern names, in order."""
        return re.findall(r"\{(\w+)\}", self.pattern)

    @property
    def fields(self) -> Fields:
        """What its samples hold: the file, and what its name says."""
        return {"sound": "binary", **dict.fromkeys(self.names, "text")}

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        names = self.names
        if "label" not in names or len(set(names)) < len(names) or _OWN & set(names):
            raise ValueError(f"the pattern needs {{label}}, each name once, and none of {', '.join(sorted(_OWN))}")
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
    | WavLayout,
    Field(discriminator="kind"),
]
