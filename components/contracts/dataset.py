"""The contract of datasets: where the data comes from, how the files are read, split and prepared.

`data/<name>/dataset.yaml` is read into a `DatasetSpec`. dvc.yaml lists the sections that each stage depends on:
`source` for ingest; `task`, `split` and `input` for prepare. The task reads `input` (components/tasks); a `Layout`
describes the files (dataset_layout.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from components.contracts.dataset_layout import Columns, Fields, Layout, SplitRows
from components.contracts.table_layout import TextEncoding, is_default
from components.core.strict import Strict

NAME = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
SHA256 = r"^[0-9a-f]{64}$"
TASK = r"^([a-z][a-z0-9-]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class RemoteFile(Strict):
    """One file of a `url` source, identified by its sha256; the mirror is searched for the digest first.

    Args:
        url: address of the file; without it, only a mirror has the file.
        origin: where a person gets the original, as text; required without a url.
    """

    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    sha256: str = Field(pattern=SHA256)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    origin: str = ""

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.url is None and not self.origin:
            raise ValueError("give url:, or origin: (where a person gets the file)")
        return self


class AddedFile(Strict):
    """Samples that are added to those of the source: labelled answers of a service, in the format of samples.parquet.

    Args:
        path: relative to the dataset's folder.
    """

    path: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    sha256: str = Field(pattern=SHA256)


class Excluding(Strict):
    """A source of which some samples are not ingested, as `modelyard forget` asks, and others are added to it.

    Args:
        exclude: digests of samples (`components.ingestion.exclusion.digest_of`): of what they hold, not of their ids.
        added: files of further samples, in order.
    """

    exclude: list[Annotated[str, Field(pattern=SHA256)]] = Field(default=[], exclude_if=is_default([]))
    added: list[AddedFile] = Field(default=[], exclude_if=is_default([]))


class SklearnSource(Excluding):
    """A dataset inside the installed scikit-learn."""

    kind: Literal["sklearn"]
    name: Literal["digits", "diabetes"]

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        return {"image": "binary", "label": "text"} if self.name == "digits" else {"row": "json", "target": "numbers"}

    @property
    def features(self) -> list[str]:
        """Columns of the rows."""
        return [] if self.name == "digits" else ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "sex"]


class UrlSource(Excluding):
    """Files fetched by URL; archives (tar, zip) are unpacked before the layout is read.

    Args:
        names: encoding of the names in zip archives that do not say that they are UTF-8.
    """

    kind: Literal["url"]
    files: list[RemoteFile] = Field(min_length=1)
    layout: Layout
    names: TextEncoding | None = Field(default=None, exclude_if=is_default(None))

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        return self.layout.fields


class FolderSource(Excluding):
    """A folder on this machine, or an archive of a folder; a relative path starts at the dataset's folder.

    Args:
        splits: whether class folders are below split folders: `<split>/<class>/x.jpg` instead of `<class>/x.jpg`.
        layout: layout of the files; default: class folders of images.
        names: as in `UrlSource`, for an archive.
    """

    kind: Literal["folder"]
    path: str
    splits: bool = False
    layout: Layout | None = None
    names: TextEncoding | None = Field(default=None, exclude_if=is_default(None))

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        return self.layout.fields if self.layout is not None else {"image": "binary", "label": "text"}

    @model_validator(mode="after")
    def _splits_of_class_folders(self) -> Self:
        if self.layout is not None and self.splits:
            raise ValueError("splits: is for class folders; a layout names its splits itself")
        return self


class TableSource(Columns, Excluding):
    """A CSV, TSV or Parquet file on this machine."""

    path: str


Source = Annotated[SklearnSource | UrlSource | FolderSource | TableSource, Field(discriminator="kind")]


NearDuplicates = Literal["together", "leave_out", "ignore"]


class SplitSpec(Strict):
    """How samples are assigned to splits.

    by sample: splits that the source names are kept; the rest is drawn, stratified by label. by time, with `rows`: the
    samples are rows in the order of time, and `rows` gives the borders, whatever the source names. If the samples are
    windows of the table (`ArraySpec`, layout window), the tables of validation and test start one look-back earlier,
    so that the first row that is predicted is the first row of the split; no window of train reaches into them. by
    time, without `rows`: the newest samples are test, the newest of the others validation, by the shares `test` and
    `validation`; the samples have a field `time`, and samples of equal times are in one split.

    Keys that are newer than 0.1 are left out of `model_dump` at their default.

    Args:
        rows: number of rows of each split, by time.
        test: share of the test split, if the source names none.
        validation: share of the validation split among the samples that are not in test, if the source names none.
        seed: the split of a sample depends on this seed and on the sample's digest, not on its row.
        group: field of the samples (a speaker, a patient, a user); samples with equal values are in one split.
        near_duplicates: together: samples that are nearly equal are drawn as one. leave_out: and samples of train that
            are nearly equal to one of the source's test or validation split are in no split. ignore: they are not
            looked for. Default: they are looked for and reported, and the splits do not depend on them.
        purge: by time: number of samples (of rows) that are in no split before validation, and again before test.
        time_column: by time, without `rows`: column of a table with the time: the one that its layout names (`time:`),
            or one of its features (a year, a date). Default: the field `time`.
    """

    by: Literal["sample", "time"] = "sample"
    rows: SplitRows | None = None
    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    group: str | None = None
    near_duplicates: NearDuplicates | None = Field(default=None, exclude_if=is_default(None))
    purge: int = Field(default=0, ge=0, exclude_if=is_default(0))
    time_column: str | None = Field(default=None, min_length=1, exclude_if=is_default(None))

    @model_validator(mode="after")
    def _rows_by_time(self) -> Self:
        if self.group is not None and self.by == "time":
            raise ValueError("group: is for splits by sample")
        if self.near_duplicates in ("together", "leave_out") and self.by == "time":
            raise ValueError("near_duplicates: together and leave_out are for splits by sample")
        if self.rows is not None and self.by != "time":
            raise ValueError("rows: needs by: time")
        if self.purge and self.by != "time":
            raise ValueError("purge: needs by: time")
        if self.time_column is not None and (self.by != "time" or self.rows is not None):
            raise ValueError("time_column: needs by: time, without rows:")
        if self.rows is not None and self.purge >= min(self.rows.train, self.rows.validation):
            raise ValueError("purge: leaves nothing of train or of validation")
        return self


class DatasetSpec(Strict):
    """`data/<name>/dataset.yaml`.

    Args:
        task: name of a task of this package, or `package.module:NAME`.
        input: settings of the task: how a raw sample becomes arrays.
    """

    name: str = Field(pattern=NAME)
    task: str = Field(pattern=TASK)
    title: str = ""
    licence: str = ""
    source: Source
    split: SplitSpec = SplitSpec()
    input: dict[str, Any] = Field(default={})

    def source_fields(self) -> Fields:
        """Fields of the source's samples, besides id and split, with their kinds."""
        return self.source.fields

    def row_columns(self) -> tuple[str, ...]:
        """Names of the columns of features, if the source is a table of these."""
        columns = getattr(self.source, "layout", self.source)
        return tuple(columns.features) if isinstance(columns, Columns | SklearnSource) else ()

    def time_field(self) -> str | None:
        """Where the time of a sample is, for splits by time: the field `time`, or `row`, a table's features, of which
        `split.time_column` is one; None if there is none."""
        columns, name = getattr(self.source, "layout", self.source), self.split.time_column
        is_named = name is None or (isinstance(columns, Columns) and name == columns.time)
        if is_named:
            return "time" if "time" in self.source.fields else None
        return "row" if name in self.row_columns() else None

    def columns_by_kind(self) -> tuple[list[str], list[str]]:
        """`row_columns`: those of numbers, and those of categories; none where the source does not say it."""
        columns = getattr(self.source, "layout", self.source)
        return (columns.numbers or [], columns.categories or []) if isinstance(columns, Columns) else ([], [])

    @model_validator(mode="after")
    def _known_group(self) -> Self:
        fields = self.source.fields
        if self.split.by == "time" and self.split.rows is None and self.split.time_column is None:
            if "time" not in fields:
                raise ValueError(
                    "split.by: time needs rows:, or samples with a time (time: in the layout of a table), or "
                    "time_column:"
                )
        elif self.split.time_column is not None and self.time_field() is None:
            columns = getattr(self.source, "layout", self.source)
            named = [*([columns.time] if isinstance(columns, Columns) and columns.time else []), *self.row_columns()]
            raise ValueError(
                f"split.time_column: no column {self.split.time_column} is read; there are: "
                f"{', '.join(named) or 'none'}; name the column by `time:` in the layout of the table"
            )
        if self.split.group is not None and fields.get(self.split.group) != "text":
            texts = ", ".join(name for name, kind in fields.items() if kind == "text") or "none"
            hint = "; of a table: name the column by `group: COLUMN` in the layout, and write split: {group: group}"
            raise ValueError(
                f"split.group: no field {self.split.group} of texts; there are: {texts}"
                + (hint if isinstance(getattr(self.source, "layout", self.source), Columns) else "")
            )
        return self
