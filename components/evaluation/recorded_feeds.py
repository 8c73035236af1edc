"""What goes into the graphs of a package for samples of train: the feeds that int8 graphs are calibrated on.

The task's scorer runs the package as it does on the test split, so that every graph gets what it gets in use, with
all steps of a decoding. Validation and test samples are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluation.scorer import Arrays, load_scorer
from components.evaluation.test_split import FrozenSplit
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.preprocessing.stored import StoredSplit

SAMPLES = 256  # of train, evenly spread
ROWS = 16  # of a feed
FEEDS = 64  # most of a graph; of more, every second is dropped again and again


def record(package: Package, frozen: FrozenSplit, threads: int) -> dict[str, list[Arrays]]:
    """The feeds of each graph, in order.

    Args:
        frozen: any split of the dataset.

    Raises:
        InferenceError: a graph failed.
    """
    train = frozen.other("train")
    index = np.unique(np.linspace(0, len(train) - 1, SAMPLES).round().astype(np.int64))
    recorder = _Recorder(package, threads=threads)
    part = FrozenSplit(
        frozen.folder, frozen.task, frozen.specs, _Part(train, index), frozen.classes, frozen.processor, name="train"
    )
    load_scorer(frozen.task).score(recorder, part, lambda _: None)
    return recorder.feeds


class _Part(StoredSplit):
    """Some samples of a split.

    Args:
        index: their numbers (n,).
    """

    def __init__(self, whole: StoredSplit, index: NDArray[np.int64]) -> None:
        self.specs = whole.specs
        self._whole, self._index = whole, index

    def __len__(self) -> int:
        return len(self._index)

    def sample(self, row: int) -> Arrays:
        return self._whole.sample(int(self._index[row]))

    def all(self, name: str) -> NDArray[Any]:
        return self._whole.all(name)[self._index]

    def lengths(self, name: str) -> NDArray[np.int64]:
        return self._whole.lengths(name)[self._index]

    def batch(self, index: NDArray[np.int64], names: Any = None) -> Arrays:
        return self._whole.batch(self._index[index], names)


class _Recorder(Predictor):
    """A predictor that keeps what goes into its graphs."""

    def __init__(self, package: Package, *, threads: int) -> None:
        super().__init__(package, threads=threads)
        self.feeds: dict[str, list[Arrays]] = {name: [] for name in self.signature.graphs}
        self._strides = dict.fromkeys(self.feeds, 1)
        self._seen = dict.fromkeys(self.feeds, 0)
        recording: Any = {name: _RecordingGraph(graph, self, name) for name, graph in self._graphs.items()}
        self._graphs = recording

    def record(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> None:
        """Keep the feed of a call, in parts of `ROWS` rows."""
        names = [spec.name for spec in self.signature.graphs[graph].inputs]
        rows = max(len(feed[name]) for name in names)
        parts = [(0, rows)] if _mixed(feed, names, rows) else [(at, at + ROWS) for at in range(0, rows, ROWS)]
        for begin, end in parts:
            self._keep(graph, {name: np.array(feed[name][begin:end]) for name in names})

    def _keep(self, graph: str, feed: Arrays) -> None:
        kept = self.feeds[graph]
        if self._seen[graph] % self._strides[graph] == 0:
            kept.append(feed)
        self._seen[graph] += 1
        if len(kept) > FEEDS:
            del kept[1::2]
            self._strides[graph] *= 2


class _RecordingGraph:
    """A loaded graph that tells a recorder of each call."""

    def __init__(self, graph: Any, recorder: _Recorder, name: str) -> None:
        self._graph, self._recorder, self._name = graph, recorder, name

    def run(self, feed: Mapping[str, NDArray[Any]], *rest: Any) -> Arrays:
        found: Arrays = self._graph.run(feed, *rest)
        self._recorder.record(self._name, feed)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)


def _mixed(feed: Mapping[str, NDArray[Any]], names: list[str], rows: int) -> bool:
    """Whether an input has another first size than that of the batch, so that rows cannot be taken apart."""
    return any(len(feed[name]) != rows for name in names)
