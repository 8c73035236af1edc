"""What a dataset is: where it comes from, how its files are read, how it is split and prepared.

`data/<name>/dataset.yaml` is read into a `DatasetSpec`. Which of its sections a stage depends on is written in
dvc.yaml: `source` for ingest; `task`, `split` and `input` for prepare. `input` is read by the task (components/tasks);
how files lie is a `Layout` (dataset_layout.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from components.contracts.dataset_layout import Columns, Fields, Layout, SplitRows
from components.core.strict import Strict

NAME = r"^[a-z][a-z0-9-]{0,62}$"
SHA256 = r"^[0-9a-f]{64}$"
TASK = r"^([a-z][a-z0-9-]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class RemoteFile(Strict):
    """One file of a `url` source. Its sha256 is its identity; a mirror is searched by it first.

    Args:
        url: where it can be fetched; without it only a mirror has the file.
        origin: in words, where a person gets the original; needed where there is no url.
    """

    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    sha256: str = Field(pattern=SHA256)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    origin: str = ""

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.url is None and not self.origin:
            raise ValueError("give url:, or origin: to say where a person gets the file")
        return self


class SklearnSource(Strict):
    """A dataset inside the installed scikit-learn."""

    kind: Literal["sklearn"]
    name: Literal["digits"]

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return {"image": "binary", "label": "text"}


class UrlSource(Strict):
    """Files fetched by URL; archives (tar, zip) are unpacked beside them before the layout is read."""

    kind: Literal["url"]
    files: list[RemoteFile] = Field(min_length=1)
    layout: Layout

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return self.layout.fields


class FolderSource(Strict):
    """A folder on this machine, or an archive of one; a relative path is taken from the dataset's folder.

    Args:
        splits: with class folders, `<split>/<class>/x.jpg` instead of `<class>/x.jpg`.
        layout: how its files lie; class folders of images where nothing is said.
    """

    kind: Literal["folder"]
    path: str
    splits: bool = False
    layout: Layout | None = None

    @property
    def fields(self) -> Fields:
        """What its samples hold."""
        return self.layout.fields if self.layout is not None else {"image": "binary", "label": "text"}

    @model_validator(mode="after")
    def _splits_of_class_folders(self) -> Self:
        if self.layout is not None and self.splits:
            raise ValueError("splits: is for class folders; a layout says itself what its splits are")
        return self


class TableSource(Columns):
    """A CSV, TSV or Parquet file on this machine."""

    path: str


Source = Annotated[SklearnSource | UrlSource | FolderSource | TableSource, Field(discriminator="kind")]


class SplitSpec(Strict):
    """How samples are shared out.

    by sample: splits that the source names are kept; the rest is drawn, stratified by label. by time: the samples are
    rows in the order of time, and `rows` says where the borders are, whatever the source says. Of a task whose samples
    are windows of the table (`ArraySpec`, layout window) the tables of validation and test begin a look-back earlier,
    so that the first row that is predicted is the first row of the split.

    Args:
        rows: of each split, by time.
        test: share drawn for the test split where the source gives none.
        validation: share of what is left after the test split, where the source gives none.
        seed: a sample's place depends on this and on the sample's own digest, not on its row.
    """

    by: Literal["sample", "time"] = "sample"
    rows: SplitRows | None = None
    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _rows_by_time(self) -> Self:
        if (self.rows is not None) != (self.by == "time"):
            raise ValueError("rows: goes with by: time, and by: time with rows:")
        return self


class DatasetSpec(Strict):
    """`data/<name>/dataset.yaml`.

    Args:
        task: one of ours, or `package.module:NAME`.
        input: the task's own settings: how a raw sample becomes arrays.
    """

    name: str = Field(pattern=NAME)
    task: str = Field(pattern=TASK)
    title: str = ""
    licence: str = ""
    source: Source
    split: SplitSpec = SplitSpec()
    input: dict[str, Any] = Field(default={})

    def source_fields(self) -> Fields:
        """The fields of the samples that the source gives, beside id and split, with their kinds."""
        return self.source.fields
