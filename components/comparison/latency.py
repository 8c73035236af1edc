"""How long an answer takes: the same golden examples put to all models in turns, in one process.

What else the machine does meets all of them alike, since each waits for its turn in every round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from components.identity.package import Package
from components.inference import body
from components.inference.predictor import Predictor

LEAST_ROUNDS = 5
MOST_ROUNDS = 400
SECONDS = 2.0  # a model


def medians(packages: Sequence[Package], *, seconds: float = SECONDS) -> list[float]:
    """Median milliseconds of one answer of each package: reading the body, preprocessing, the graph, the words.

    Args:
        packages: of one dataset, so with the same golden examples.
        seconds: for how long each is asked, if that makes enough rounds.

    Raises:
        SampleError, InferenceError: a package does not answer its own golden example.
    """
    asked = [_Asked(package) for package in packages]
    for one in asked:  # the first call pays for memory
        one.milliseconds(0)
    taken: list[list[float]] = [[] for _ in packages]
    begin = time.perf_counter()
    for round_ in range(MOST_ROUNDS):
        if round_ >= LEAST_ROUNDS and time.perf_counter() - begin >= seconds * len(packages):
            break
        for turn in range(len(packages)):
            number = (round_ + turn) % len(packages)  # nobody always comes after the same one
            taken[number].append(asked[number].milliseconds(round_))
    return [statistics.median(times) for times in taken]


class _Asked:
    """A loaded package and the bodies of its golden examples."""

    def __init__(self, package: Package) -> None:
        self._predictor = Predictor(package, threads=1)
        folder = package.folder / "golden"
        self._bodies = [((folder / example.file).read_bytes(), example.media) for example in package.golden()]

    def milliseconds(self, number: int) -> float:
        """Of one answer to the golden example of that number, counted round and round."""
        content, media = self._bodies[number % len(self._bodies)]
        begin = time.perf_counter()
        asked = body.read(self._predictor.processor, self._predictor.endpoint, content, media)
        self._predictor.predict(asked.items, asked.parameters)
        return 1000 * (time.perf_counter() - begin)
