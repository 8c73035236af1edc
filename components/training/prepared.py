"""The prepared dataset of a training; every byte is verified with the manifest first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from components import tasks
from components.contracts.array_spec import ArraySpec
from components.core.errors import CorruptArtifactError, TrainingError
from components.identity import manifest
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Processor, Task


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    task: str
    classes: list[str]
    arrays: list[dict[str, object]]


class Prepared(NamedTuple):
    """Splits, classes, the task and its fitted processor."""

    folder: Path
    task: Task
    classes: list[str]
    processor: Processor
    train: StoredSplit
    validation: StoredSplit


def open_prepared(folder: Path, data_digest: str) -> Prepared:
    """Verify and map a prepared dataset.

    Raises:
        NotFoundError: there is no such dataset, or no such task.
        CorruptArtifactError: a byte differs from the manifest.
        TrainingError: the digest is not that of the request, or a split is empty.
    """
    sealed = manifest.verify(folder, "prepared")
    if sealed.digest != data_digest:
        raise TrainingError(
            "the prepared data is not the data of the request",
            where=str(folder),
            got=sealed.digest,
            expected=data_digest,
            next_step="run the pipeline again; it makes a new request for the present data",
        )
    try:
        facts = _Facts.model_validate(sealed.facts)
        specs = TypeAdapter(list[ArraySpec]).validate_python(facts.arrays, strict=False)
    except ValidationError as error:
        raise CorruptArtifactError(
            "the facts of the prepared dataset are invalid", where=str(folder), got=error
        ) from error
    task = tasks.find(facts.task)
    train, validation = StoredSplit(folder / "train", specs), StoredSplit(folder / "validation", specs)
    for name, split in (("train", train), ("validation", validation)):
        if len(split) == 0:
            raise TrainingError(
                "a split is empty", where=str(folder / name), next_step="raise the share of the split in the dataset"
            )
    return Prepared(folder, task, facts.classes, task.load(folder), train, validation)
