"""The prepared dataset as the training takes it, every byte compared with its manifest first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from components.contracts import manifest
from components.contracts.errors import CorruptArtifactError, TrainingError
from components.preprocessing.image import ImageProcessor
from components.training.batches import Split


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    classes: list[str]
    processor: ImageProcessor


class Prepared(NamedTuple):
    """Splits, classes and the fitted processor."""

    folder: Path
    classes: list[str]
    processor: ImageProcessor
    train: Split
    validation: Split


def open_prepared(folder: Path, data_digest: str) -> Prepared:
    """Verify and map a prepared dataset.

    Raises:
        NotFoundError: it is not there.
        CorruptArtifactError: a byte is not what was sealed.
        TrainingError: it is another dataset than was asked for, or a split is empty.
    """
    sealed = manifest.verify(folder, "prepared")
    if sealed.digest != data_digest:
        raise TrainingError(
            "the prepared data is not what this training was asked for",
            where=str(folder),
            got=sealed.digest,
            expected=data_digest,
            next_step="run the pipeline again; it makes a new request for the data that is there now",
        )
    try:
        facts = _Facts.model_validate(sealed.facts)
    except ValidationError as error:
        raise CorruptArtifactError("the facts are no prepared dataset's", where=str(folder), got=error) from error
    train, validation = Split.open(folder, "train"), Split.open(folder, "validation")
    for name, split in (("train", train), ("validation", validation)):
        if len(split) == 0:
            raise TrainingError(
                "a split is empty", where=str(folder / name), next_step="raise its share in the dataset"
            )
    return Prepared(folder, facts.classes, facts.processor, train, validation)
