"""Layouts of tables: which columns of a CSV, TSV or Parquet file make a sample, and how its cells are written.

Keys that are newer than 0.1 are left out of `model_dump` at their default: the digest of a source that does not use
them stays the same.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from components.contracts.sample_fields import Fields
from components.core.strict import Strict

EPOCHS = {  # values of `time_format`: units a second
    "epoch_seconds": 1, "epoch_milliseconds": 10**3, "epoch_microseconds": 10**6, "epoch_nanoseconds": 10**9,
}  # fmt: skip
_CSV_KEYS = ("delimiter", "skip_lines", "skip_last_lines", "comment", "decimal", "thousands")

FileName = Annotated[str, StringConstraints(min_length=1)]


def _text_encoding(name: str) -> str:
    try:
        is_text = getattr(codecs.lookup(name), "_is_text_encoding", True)
    except (LookupError, ValueError) as error:
        raise ValueError(f"no encoding that Python knows: {name}") from error
    if not is_text:
        raise ValueError(f"not an encoding of text: {name}")
    return name


TextEncoding = Annotated[str, AfterValidator(_text_encoding)]


def is_default(default: object) -> Callable[[object], bool]:
    """Whether a value is the default; such a key stays out of the digest of sources written before it existed."""
    return lambda value: value == default


def _optional(**arguments: Any) -> Any:
    """A key that is None by default, and is then no part of the dump."""
    return Field(default=None, exclude_if=is_default(None), **arguments)


class Columns(Strict):
    """Which columns of a CSV, TSV (no quoting; both gzip or plain), JSON lines or Parquet file make a sample.

    A sample has an image, a text, values, or a row of features (numbers and categories); and a label, unless
    `label: null`, or a target, or any number of labels.

    Args:
        label: column of the label.
        labels: columns of 0 and 1, one a label, which is the column's name; or one column of lists of labels. A cell
            without a value is a sample without labels in a column of lists, and is refused in a column of 0 and 1.
        labels_separator: what separates the labels in a cell of text; or `json`, `python`: the cells are such lists.
        image: column of the image: encoded bytes (Parquet; also a struct with `bytes`) or a path beside the file.
        pixels: prefix of the columns of grey pixels (0 to 255), one column a pixel, row by row.
        text: column of the text.
        values: names of the columns of numbers, in order; or the prefix of columns numbered from 0 on; or one column
            of lists of a Parquet file. An empty cell is NaN.
        numbers, categories: columns of features: numbers, and words, booleans or whole numbers that are names. An empty
            cell is null.
        target: column of the number that is to be predicted, in place of a label.
        time: column of the time: ISO 8601 (also `YYYY-MM`, `YYYY/MM/DD`, `YYYYMMDD`; `UTC` and `GMT` behind it are the
            offset 0), kept as text; with `time_format`, rewritten in ISO 8601. A time that cannot be read is refused.
        split: column of the split, if the file has one.
        group: column of what samples belong to (a speaker, a patient, a user): the field `group`, which `split: {group:
            group}` keeps in one split.
        weight: column of the sample's weight in the loss of the training, 0 or more: the field `weight`. Figures of
            validation and evaluation are without weights.
        classes: names of the labels, if the column has their numbers (1, or 1.0); or the name for each cell of the
            column.
        header: whether the first line names the columns; otherwise `columns` does.
        encoding: of CSV and TSV, any text encoding of Python. A byte that is not UTF-8 becomes U+FFFD, which is
            counted; in another encoding it is refused, with its line.
        delimiter: one character between the cells of a CSV; default: a comma.
        skip_lines: number of lines above the header, or above the first row.
        skip_last_lines: number of lines below the last row.
        comment: lines that begin with this are skipped.
        decimal, thousands: the decimal mark of numbers, and the mark between groups of three digits.
        missing_values: words and numbers that stand for an empty cell: in columns of numbers and categories and in the
            target's, or without these in the label's.
        missing: `forward_fill` repeats the value of the row before where a value is missing.
        unlabelled: what happens to rows without label or target: `refuse` all, or `leave_out` these rows and count
            them.
        time_format: format of the time as in `datetime.strptime`, or epoch_seconds (also milli-, micro-, nano-): since
            1970.
        order: `newest_first` turns the rows of each split round.
        image_folder: folder of the images, relative to the table; default: the table's folder.
        image_suffix: what is appended to the cells to make file names, such as `.jpg`.
    """

    kind: Literal["csv", "tsv", "parquet", "jsonl"]
    label: str | None = "label"
    image: str | None = None
    pixels: str | None = None
    text: str | None = None
    values: str | list[str] | None = None
    time: str | None = None
    split: str | None = None
    classes: list[str] | dict[str, str] | None = None
    header: bool = True
    columns: list[str] | None = None
    encoding: TextEncoding = "utf-8"
    delimiter: str | None = _optional(min_length=1, max_length=1)
    skip_lines: int | None = _optional(ge=1)
    skip_last_lines: int | None = _optional(ge=1, le=1000)
    comment: str | None = _optional(min_length=1)
    decimal: Literal[".", ","] | None = _optional()
    thousands: Literal[",", ".", "'", "\u2019", " ", "\u00a0", "\u202f"] | None = _optional()
    missing_values: list[str | int | float] | None = _optional(min_length=1)
    missing: Literal["forward_fill"] | None = _optional()
    unlabelled: Literal["refuse", "leave_out"] = Field(default="refuse", exclude_if=is_default("refuse"))
    time_format: str | None = _optional(min_length=1)
    order: Literal["newest_first"] | None = _optional()
    image_folder: str | None = _optional(min_length=1)
    group: str | None = _optional()
    weight: str | None = _optional(min_length=1)
    image_suffix: str | None = _optional(pattern=r"^\.[A-Za-z0-9.]+$")
    labels: str | list[str] | None = _optional(min_length=1)
    labels_separator: str | None = _optional(min_length=1)
    numbers: list[str] | None = _optional(min_length=1)
    categories: list[str] | None = _optional(min_length=1)
    target: str | None = _optional(min_length=1)

    @property
    def features(self) -> list[str]:
        """Columns of numbers, then of categories; [] if samples are no rows of features."""
        return [*(self.numbers or ()), *(self.categories or ())]

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        fields: Fields = {}
        if self.time is not None:
            fields["time"] = "text"
        if self.text is not None:
            fields["text"] = "text"
        elif self.values is not None:
            fields["values"] = "numbers"
        elif self.features:
            fields["row"] = "json"
        else:
            fields["image"] = "binary"
        if self.label is not None:
            fields["label"] = "text"
        if self.target is not None:
            fields["target"] = "numbers"
        if self.labels is not None:
            fields["labels"] = "json"
        if self.group is not None:
            fields["group"] = "text"
        if self.weight is not None:
            fields["weight"] = "numbers"
        return fields

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, mark: str | None) -> str | None:
        if mark is not None and (mark in '"\r\n\0' or mark.isalnum()):
            raise ValueError("not a character that can separate cells")
        return mark

    @field_validator("time_format")
    @classmethod
    def _a_format(cls, name: str | None) -> str | None:
        if name is not None and "%" not in name and name not in EPOCHS:
            raise ValueError(f"a format as in strptime, such as %d/%m/%Y; or {', '.join(EPOCHS)}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _label_column_by_default(cls, document: Any) -> Any:
        """With `labels` or `target`, there is no column `label` by default."""
        is_table = isinstance(document, dict) and "label" not in document
        if is_table and (document.get("labels") is not None or document.get("target") is not None):
            return {**document, "label": None}
        return document

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if [self.image, self.pixels, self.text, self.values, self.features or None].count(None) != 4:
            raise ValueError("give exactly one of image:, pixels:, text:, values:, or numbers: and categories:")
        used = [*self.features, *(name for name in (self.label, self.target) if name is not None)]
        if self.features and len(set(used)) < len(used):
            raise ValueError("a column stands twice in numbers:, categories:, label: and target:")
        if self.label is not None and self.target is not None:
            raise ValueError("a sample has a label or a target; with target:, label: is null")
        if self.header != (self.columns is None):
            raise ValueError("header: false needs columns:, and columns: needs header: false")
        if self.kind in ("parquet", "jsonl") and not self.header:
            raise ValueError("a Parquet file, or one of JSON lines, names its columns itself")
        if self.pixels is not None and self.kind in ("tsv", "jsonl"):
            raise ValueError("pixels: of CSV and Parquet files only")
        return self

    @model_validator(mode="after")
    def _labels_that_fit(self) -> Self:
        if self.labels is not None and self.label is not None:
            raise ValueError("label: and labels: are for different tasks; give one of them")
        if isinstance(self.labels, list) and len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: a column is named twice")
        if self.labels_separator is not None and not isinstance(self.labels, str):
            raise ValueError("labels_separator: needs labels: with the name of one column")
        if isinstance(self.labels, list) and self.classes is not None:
            raise ValueError("classes: the columns of labels: are named after their labels")
        return self

    @model_validator(mode="after")
    def _keys_that_fit(self) -> Self:
        if self.kind in ("parquet", "jsonl") and (
            alien := [key for key in _CSV_KEYS if getattr(self, key) is not None]
        ):
            raise ValueError(f"{', '.join(alien)}: of CSV and TSV files only")
        if self.kind == "tsv" and self.delimiter is not None:
            raise ValueError("the cells of a TSV are separated by tabs; kind: csv has a delimiter:")
        if (self.decimal or ".") == self.thousands:
            raise ValueError("decimal: and thousands: are the same mark")
        if self.time is None and (self.time_format or self.order or self.missing):
            raise ValueError("time_format:, order: and missing: need time:")
        if self.values is None and self.missing:
            raise ValueError("missing: needs values:")
        if self.values is None and self.numbers is None and self.target is None and (self.decimal or self.thousands):
            raise ValueError("decimal: and thousands: need values:, numbers: or target:")
        read = (self.values, self.label, self.target, self.numbers, self.categories)
        if self.missing_values and all(columns is None for columns in read):
            raise ValueError("missing_values: needs values:, label:, target:, numbers: or categories:")
        if self.label is None and self.target is None and self.unlabelled != "refuse":
            raise ValueError("unlabelled: needs label: or target:")
        if self.label is None and self.labels is None and isinstance(self.classes, dict):
            raise ValueError("classes: needs label: or labels:")
        if self.image is None and (self.image_folder or self.image_suffix):
            raise ValueError("image_folder: and image_suffix: need image:")
        if self.pixels is not None and (self.comment or self.skip_lines or self.skip_last_lines):
            raise ValueError("comment:, skip_lines: and skip_last_lines: are not for pixels:")
        return self


class TableLayout(Columns):
    """CSV, TSV, JSON lines or Parquet files by their splits, one row a sample.

    The samples of the files "" have no split yet.

    Args:
        files: a file, or a list of files that are read one after the other, for each split.
    """

    files: dict[str, FileName | list[FileName]]

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for key, names in files.items():
            if isinstance(names, list) and (not names or len(set(names)) < len(names)):
                raise ValueError(f"{key or '(no split)'}: no file, or a file that is named twice")
        return files
