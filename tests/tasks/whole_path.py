"""What every task's test does: raw samples through fit, encode, disk and read, with a stub in place of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.preprocessing.batch import Arrays, collate
from components.tasks.task import Prediction, Processor, RawSample, Task, Values


def raws(task: Task, values: Sequence[Values], settings: Any) -> list[RawSample]:
    """Samples as preparation hands them to `fit` and `encode`."""
    made = []
    for sample in values:
        decoded = task.decode(sample, settings)
        made.append(RawSample({name: value for name, value in sample.items() if name != task.payload_field}, decoded))
    return made


def fitted(task: Task, values: Sequence[Values], folder: Path, **settings: Any) -> Processor:
    """A processor fitted on samples, saved, and read again: what serves is what was written."""
    chosen = task.settings.model_validate(settings)
    classes = sorted({label for sample in values for label in task.labels(sample)})
    processor = task.fit(chosen, iter(raws(task, values, chosen)), classes)
    processor.save(folder)
    again = task.load(folder)
    again.save(folder)
    assert again.model_dump() == processor.model_dump()  # type: ignore[attr-defined]
    return again


def alone_and_batched(
    processor: Processor, run: Callable[[str, Arrays], Arrays], samples: Sequence[Arrays], classes: Sequence[str],
    parameters: Any = None,
) -> list[Prediction]:  # fmt: skip
    """The answers of a batch, once each is seen to be the same alone and in the other order."""
    together = processor.answer(run, samples, classes, parameters)
    backwards = processor.answer(run, list(samples)[::-1], classes, parameters)[::-1]
    for one, other, sample in zip(together, backwards, samples, strict=True):
        assert one == other == processor.answer(run, [sample], classes, parameters)[0]
    return together


def stored(processor: Processor, samples: Sequence[Arrays]) -> Arrays:
    """A batch of prepared samples, once each array is seen to be of the type and shape that `arrays` says."""
    for spec in processor.arrays():
        for sample in samples:
            array = sample[spec.name]
            assert array.dtype == np.dtype(spec.type)
            assert array.shape[1 if spec.layout == "ragged" else 0 :] == spec.shape
    return collate(processor.arrays(), samples)
