"""A frozen split of a prepared dataset, with its task, classes and processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from components import tasks
from components.contracts.array_spec import ArraySpec
from components.core.errors import CorruptArtifactError
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Processor, Task

_SPECS = TypeAdapter(tuple[ArraySpec, ...])


class FrozenSplit(NamedTuple):
    """A split that models are measured on: `test`, or `validation` where a model is chosen.

    Args:
        folder: folder of the prepared dataset.
        classes: names of the classes in the order of their numbers in the arrays; [] for a task without classes.
        processor: the processor of the data; a package may have another one.
        name: the split's name.
    """

    folder: Path
    task: Task
    specs: tuple[ArraySpec, ...]
    split: StoredSplit
    classes: list[str]
    processor: Processor
    name: str = "test"

    @staticmethod
    def open(folder: Path, facts: Mapping[str, Any], name: str = "test") -> FrozenSplit:
        """Map a split of a prepared dataset; `facts` are of its manifest.

        Raises:
            CorruptArtifactError: the split is empty, or the processor cannot be read.
            NotFoundError: there is no such task.
        """
        task = tasks.find(facts["task"])
        specs = _SPECS.validate_python(facts["arrays"], strict=False)
        split = StoredSplit(folder / name, specs)
        if len(split) == 0:
            next_step = f"raise split.{name} in dataset.yaml"
            raise CorruptArtifactError(f"the {name} split is empty", where=str(folder / name), next_step=next_step)
        return FrozenSplit(folder, task, specs, split, list(facts["classes"]), task.load(folder), name)

    def other(self, name: str) -> StoredSplit:
        """Another split of the same dataset."""
        return StoredSplit(self.folder / name, self.specs)

    def __len__(self) -> int:
        return len(self.split)
