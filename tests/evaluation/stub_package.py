"""A package that answers with what a test gives it, and a frozen split of samples that a test gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from components import tasks
from components.contracts.array_spec import ArraySpec
from components.core.errors import NotFiniteError
from components.evaluation.scorer import Arrays
from components.evaluation.test_split import FrozenSplit
from components.identity.package import Signature
from components.preprocessing.stored import StoredSplit


class Answers:
    """Answers with a function of a graph's feed; `processor` has whatever else a scorer asks of one."""

    def __init__(self, outputs: Callable[[Arrays], Arrays], classes: Sequence[str] = (), **processor: Any) -> None:
        self.signature = Signature(graphs={}, classes=list(classes))
        self.processor: Any = SimpleNamespace(**processor)
        self._outputs = outputs

    def outputs(self, graph: str, feed: Mapping[str, Any]) -> Arrays:
        return self._outputs(dict(feed))

    def run(self, graph: str, feed: Mapping[str, Any]) -> Arrays:
        found = self.outputs(graph, feed)
        if not all(np.isfinite(values).all() for values in found.values()):
            raise NotFiniteError("not finite")
        return found

    def answer(self, samples: Sequence[Arrays], parameters: object = None) -> list[dict[str, Any]]:
        return list(self.processor.answer(self.run, samples, self.signature.classes, parameters))


def stored(folder: Path, specs: Sequence[ArraySpec], samples: Sequence[Arrays]) -> StoredSplit:
    """Write samples as a split, fixed or ragged."""
    folder.mkdir(parents=True)
    for spec in specs:
        parts = [np.asarray(sample[spec.name], spec.type) for sample in samples]
        ragged = spec.layout == "ragged"
        np.save(folder / f"{spec.name}.npy", np.concatenate(parts) if ragged else np.stack(parts))
        if ragged:
            np.save(folder / f"{spec.name}.offsets.npy", np.cumsum([0, *map(len, parts)]).astype(np.int64))
    return StoredSplit(folder, specs)


def frozen(
    folder: Path,
    specs: Sequence[ArraySpec],
    samples: Sequence[Arrays],
    classes: Sequence[str] = (),
    processor: Any = None,
    task: str = "image-classification",
) -> FrozenSplit:
    """A frozen test split of those samples."""
    split = stored(folder / "test", specs, samples)
    return FrozenSplit(folder, tasks.find(task), tuple(specs), split, list(classes), processor)


def quiet(_: int) -> None:
    """No progress."""
