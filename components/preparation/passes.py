"""The three passes of preparation over the raw samples, in whatever form they read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import SAMPLE_WEIGHTS, ArraySpec
from components.contracts.dataset import DatasetSpec
from components.preparation.split_draw import SplitDraw
from components.tasks.task import Processor, Task


class RawFile(NamedTuple):
    """A file of raw samples and how they are prepared.

    Args:
        samples: number of them.
        settings: the section `input:` of the dataset, as the task's settings.
    """

    path: Path
    samples: int
    spec: DatasetSpec
    task: Task
    settings: Any


class Windows(NamedTuple):
    """Size of samples that are windows of a table: rows of the input, and all rows. 0 and 1 for other samples."""

    look_back: int
    length: int


def arrays_of(processor: Processor, spec: DatasetSpec) -> tuple[ArraySpec, ...]:
    """The arrays of the prepared splits: the processor's, and the weights of the samples if the source has them."""
    weighted = "weight" in spec.source_fields()
    return (*processor.arrays(), SAMPLE_WEIGHTS) if weighted else processor.arrays()


class Passes(Protocol):
    """Passes over the samples of a raw file; after the first one, the splits can be drawn."""

    @property
    def draw(self) -> SplitDraw:
        """The draw of the splits."""

    def fit(self, assigned: NDArray[np.uint8]) -> Processor:
        """The processor, fitted on the samples of train.

        Args:
            assigned: (N,) the split of each sample.
        """

    def encode(self, processor: Processor, assigned: NDArray[np.uint8], windows: Windows, folder: Path) -> None:
        """Write the arrays of each split and `samples.parquet`.

        Raises:
            SampleError: a sample does not fit the processor.
        """
