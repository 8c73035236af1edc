"""A frozen split of a prepared dataset, with its task, classes and processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
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
        overlap: number of neighbouring samples, itself included, that a sample shares data with.
        clusters: (N,) the group of each sample (a speaker, a patient); None without groups.
        name: the split's name.
    """

    folder: Path
    task: Task
    specs: tuple[ArraySpec, ...]
    split: StoredSplit
    classes: list[str]
    processor: Processor
    overlap: int = 1
    clusters: NDArray[np.int64] | None = None
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
        overlap = int(facts.get("overlap", 1))
        clusters = _clusters(folder, len(split)) if name == "test" else None  # of validation they are not kept
        classes, processor = list(facts["classes"]), task.load(folder)
        return FrozenSplit(folder, task, specs, split, classes, processor, overlap, clusters, name)

    def require(self, *names: str) -> None:
        """Check that the split has the arrays that a scorer reads.

        Raises:
            CorruptArtifactError: an array is missing: the data was prepared by an earlier version.
        """
        stored = {spec.name for spec in self.specs}
        if missing := [name for name in names if name not in stored]:
            raise CorruptArtifactError(
                "the prepared data has no array that the scores need",
                where=str(self.folder),
                got=", ".join(sorted(stored)),
                expected=", ".join(missing),
                next_step="prepare the data again: run the pipeline",
            )

    def other(self, name: str) -> StoredSplit:
        """Another split of the same dataset."""
        return StoredSplit(self.folder / name, self.specs)

    def __len__(self) -> int:
        return len(self.split)


def _clusters(folder: Path, count: int) -> NDArray[np.int64] | None:
    """The groups of the test split; None without groups, or if each sample has its own."""
    path = folder / "clusters.npy"
    if not path.is_file():
        return None
    clusters: NDArray[np.int64] = np.load(path, allow_pickle=False)
    if clusters.shape != (count,):
        raise CorruptArtifactError(
            "the groups are not those of the test split", where=str(path), got=clusters.shape, expected=f"({count},)"
        )
    return clusters if len(np.unique(clusters)) < count else None
