"""Measure latency: all models predict the same golden examples in turns, in one process.

Other load of the machine affects all models alike, because each model takes part in every round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from components.identity.package import Package
from components.inference import body
from components.inference.predictor import Predictor

MIN_ROUNDS = 5
MAX_ROUNDS = 400
SECONDS = 2.0  # for each model


def medians(packages: Sequence[Package], *, seconds: float = SECONDS) -> list[float]:
    """Median latency of each package in milliseconds, from the body of the request to the prediction.

    Args:
        packages: packages of one dataset, hence with the same golden examples.
        seconds: time for each package; there are at least `MIN_ROUNDS` rounds.

    Raises:
        SampleError, InferenceError: a package fails on its own golden example.
    """
    models = [_LoadedModel(package) for package in packages]
    for model in models:  # the first call allocates memory
        model.milliseconds(0)
    latencies_ms: list[list[float]] = [[] for _ in packages]
    start = time.perf_counter()
    for round_ in range(MAX_ROUNDS):
        if round_ >= MIN_ROUNDS and time.perf_counter() - start >= seconds * len(packages):
            break
        for turn in range(len(packages)):
            number = (round_ + turn) % len(packages)
            latencies_ms[number].append(models[number].milliseconds(round_))
    return [statistics.median(times) for times in latencies_ms]


class _LoadedModel:
    """A loaded package and the bodies of its golden examples."""

    def __init__(self, package: Package) -> None:
        self._predictor = Predictor(package, threads=1)
        folder = package.folder / "golden"
        self._bodies = [((folder / example.file).read_bytes(), example.media) for example in package.golden()]

    def milliseconds(self, number: int) -> float:
        """Latency in milliseconds for the golden example of this number, modulo their count."""
        content, media = self._bodies[number % len(self._bodies)]
        start = time.perf_counter()
        request = body.read(self._predictor.processor, self._predictor.endpoint, content, media)
        self._predictor.predict(request.items, request.parameters)
        return 1000 * (time.perf_counter() - start)
