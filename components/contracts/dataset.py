"""What a dataset is: where it comes from, how its files are read, how it is split and prepared.

`data/<name>/dataset.yaml` is read into a `DatasetSpec`. Which of its sections a stage depends on is written in
dvc.yaml: `source` for ingest; `split` and `image` for prepare.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.contracts.strict import Strict

NAME = r"^[a-z][a-z0-9-]{0,62}$"
SHA256 = r"^[0-9a-f]{64}$"


class FolderLayout(Strict):
    """Images in one folder a class: `<class>/x.jpg`, or `<split>/<class>/x.jpg` with `splits: true`."""

    kind: Literal["folder"]
    root: str = "."
    splits: bool = False


class IdxLayout(Strict):
    """The idx format of MNIST: an image file and a label file for each split (gzip or plain)."""

    kind: Literal["idx"]
    images: dict[str, str]
    labels: dict[str, str]
    classes: list[str] = Field(min_length=2)

    @model_validator(mode="after")
    def _same_splits(self) -> Self:
        if self.images.keys() != self.labels.keys():
            raise ValueError("images and labels name different splits")
        return self


class TableLayout(Strict):
    """A CSV or Parquet file, one row a sample.

    Args:
        label: column of the label.
        image: column of the image: encoded bytes (Parquet; also a struct with `bytes`) or a path beside the file.
        pixels: instead of `image`: prefix of the columns that hold one grey pixel each (0 to 255), row by row.
        split: column of the split, if the file has one.
        classes: names of the labels where the column holds their numbers.
    """

    kind: Literal["csv", "parquet"]
    files: dict[str, str]
    label: str = "label"
    image: str | None = None
    pixels: str | None = None
    split: str | None = None
    classes: list[str] | None = None

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if (self.image is None) == (self.pixels is None):
            raise ValueError("give either image: or pixels:")
        return self


Layout = Annotated[FolderLayout | IdxLayout | TableLayout, Field(discriminator="kind")]


class RemoteFile(Strict):
    """One file of a `url` source. Its sha256 is its identity; a mirror is searched by it first."""

    url: str = Field(pattern=r"^https?://[^\s]+$")
    sha256: str = Field(pattern=SHA256)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class SklearnSource(Strict):
    """A dataset inside the installed scikit-learn."""

    kind: Literal["sklearn"]
    name: Literal["digits"]


class UrlSource(Strict):
    """Files fetched by URL; archives (tar, zip) are unpacked beside them before the layout is read."""

    kind: Literal["url"]
    files: list[RemoteFile] = Field(min_length=1)
    layout: Layout


class FolderSource(Strict):
    """Class folders on this machine; a relative path is taken from the dataset's folder."""

    kind: Literal["folder"]
    path: str
    splits: bool = False


class TableSource(Strict):
    """A CSV or Parquet file on this machine; fields as in `TableLayout`."""

    kind: Literal["csv", "parquet"]
    path: str
    label: str = "label"
    image: str | None = None
    pixels: str | None = None
    split: str | None = None
    classes: list[str] | None = None


Source = Annotated[SklearnSource | UrlSource | FolderSource | TableSource, Field(discriminator="kind")]


class SplitSpec(Strict):
    """How samples are shared out. Splits that the source names are kept; the rest is drawn, stratified by label.

    Args:
        test: share drawn for the test split where the source gives none.
        validation: share of what is left after the test split, where the source gives none.
        seed: a sample's place depends on this and on the sample's own digest, not on its row.
    """

    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class ImageSpec(Strict):
    """The tensor that an image becomes: (height, width, channels) of uint8."""

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3]


class DatasetSpec(Strict):
    """`data/<name>/dataset.yaml`."""

    name: str = Field(pattern=NAME)
    task: Literal["image-classification"]
    title: str = ""
    licence: str = ""
    source: Source
    split: SplitSpec = SplitSpec()
    image: ImageSpec
