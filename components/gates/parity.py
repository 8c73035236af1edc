"""Gate parity: golden examples through the packaged endpoint are answered as the training process answered them.

Legend: G golden examples, K classes.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from components.contracts import digest
from components.contracts.errors import ModelyardError
from components.contracts.gate_request import Candidate, GateResult
from components.contracts.package import GoldenExample, Package
from components.gates.endpoint import DoesNotStart, Endpoint
from components.inference.predictor import Predictor

TIMEOUT_SECONDS = 60.0
TRAIN_AGAIN = "do not trust this package: what it holds is not what was trained; train it again"
MEND = "mend what the log names, then build the bundle again (`modelyard run {} --force bundle`)"

Answer = dict[str, float]  # probability of each class, by name


class Way(NamedTuple):
    """One way of asking: the positions of the examples, and how many go into one request."""

    name: str
    order: list[int]
    at_once: int


class Seen(NamedTuple):
    """One example by one way: the largest difference of a probability, and both labels."""

    file: str
    way: str
    truth: str
    expected: str
    answered: str
    difference: float


class Parity(NamedTuple):
    """What was seen, worst first, and what was wrong."""

    seen: list[Seen]
    problems: list[str]


class _Refused(Exception):
    """The endpoint answered a golden example with something else than 200."""


def judge(endpoint: Endpoint, package: Package, candidate: Candidate, tolerance: float) -> tuple[GateResult, Parity]:
    """Ask for every golden example alone, in batches, reversed and shuffled."""
    classes, examples = package.golden_classes(), package.golden()
    expected = [dict(zip(classes, example.probabilities, strict=True)) for example in examples]
    seen: list[Seen] = []
    problems: list[str] = []
    next_step = TRAIN_AGAIN
    try:
        endpoint.wait()
        client = _Client(endpoint.port, package, candidate)
        try:
            for way in ways(len(examples), client.max_batch):
                for position, answer in client.ask(way, examples):
                    seen.append(_seen(examples[position], way.name, expected[position], answer))
            problems += client.problems
        finally:
            client.close()
        problems += _problems(seen, expected, classes, package, tolerance)
    except DoesNotStart as error:
        last = str(error).strip().rpartition("\n")[2]
        alone = _alone(package, examples, expected)
        problems.append(f"the bundle's endpoint does not start: {last} ({alone}); its log ends:\n{error}")
        next_step = MEND.format(candidate.name)
    except _Refused as error:
        problems.append(str(error))
    worst = max((one.difference for one in seen), default=float("nan"))
    figures: dict[str, float | int | str] = {"examples": len(examples), "answers": len(seen)}
    if seen:
        figures |= {"max_difference": worst, "labels_differ": sum(one.expected != one.answered for one in seen)}
    return GateResult(
        gate="parity",
        passed=not problems,
        figures=figures,
        limit=f"each probability within {tolerance:g} of the training process's, alone, in a batch, in another order",
        reason="; ".join(problems)
        or f"{len(examples)} golden examples answered as in training, largest difference {worst:.1e}",
        next_step=next_step if problems else None,
    ), Parity(sorted(seen, key=lambda one: -one.difference), problems)


def ways(count: int, max_batch: int) -> list[Way]:
    """Alone, and in batches as large as the service takes: in order, reversed, shuffled (seeded)."""
    order = list(range(count))
    shuffled = order.copy()
    random.Random(0).shuffle(shuffled)  # noqa: S311  # an order, no secret
    return [
        Way("alone", order, 1),
        Way("in a batch", order, max_batch),
        Way("reversed", order[::-1], max_batch),
        Way("shuffled", shuffled, max_batch),
    ]


def difference(expected: Answer, answered: Answer) -> float:
    """The largest absolute difference of a class's probability; infinite where the classes are not the same."""
    if expected.keys() != answered.keys():
        return float("inf")
    found = [abs(answered[name] - value) for name, value in expected.items()]
    return max(value if math.isfinite(value) else float("inf") for value in found)


class _Client:
    """One connection to the endpoint; notes what its answers say of themselves."""

    def __init__(self, port: int, package: Package, candidate: Candidate) -> None:
        settings = json.loads((package.folder.parent / "serving.json").read_bytes())
        self.max_batch: int = settings["max_batch_size"]
        self._max_bytes: int = settings["max_request_bytes"]
        self._package = package
        self._expected = {"X-Modelyard-Package": candidate.package_digest, "X-Modelyard-Version": candidate.version}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self.problems: list[str] = []

    def ask(self, way: Way, examples: Sequence[GoldenExample]) -> Iterator[tuple[int, Answer]]:
        """Position and answer of each example.

        Raises:
            _Refused: an answer is not 200, or not one prediction an image.
        """
        contents = [(self._package.folder / "golden" / example.file).read_bytes() for example in examples]
        for group in self._groups(way, contents):
            if way.at_once == 1:
                body, kind = contents[group[0]], "application/octet-stream"
            else:
                images = [base64.b64encode(contents[position]).decode() for position in group]
                body, kind = json.dumps({"images": images}).encode(), "application/json"
            names = ", ".join(examples[position].file for position in group[:3])
            predictions = self._post(body, kind, f"{names} ({way.name})")
            if len(predictions) != len(group):
                raise _Refused(f"{len(group)} images got {len(predictions)} predictions ({way.name})")
            for position, prediction in zip(group, predictions, strict=True):
                yield position, prediction["probabilities"]

    def close(self) -> None:
        self._connection.close()

    def _groups(self, way: Way, contents: Sequence[bytes]) -> Iterator[list[int]]:
        """As many at once as the service takes, in number and in bytes (base64 makes 3 bytes 4)."""
        group: list[int] = []
        size = 0
        for position in way.order:
            more = len(contents[position]) * 4 // 3 + 8
            if group and (len(group) == way.at_once or size + more > self._max_bytes - 64):
                yield group
                group, size = [], 0
            group.append(position)
            size += more
        if group:
            yield group

    def _post(self, body: bytes, kind: str, what: str) -> list[dict[str, Answer]]:
        try:
            self._connection.request("POST", "/predict", body, {"Content-Type": kind})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _Refused(f"the endpoint broke off at {what}: {error!r}") from error
        if response.status != http.HTTPStatus.OK:
            text = content.decode("utf-8", "replace")[:300]
            raise _Refused(f"the endpoint answers {what} with {response.status}: {text}")
        for name, expected in self._expected.items():
            found = response.getheader(name)
            problem = f"its answers say {name}: {found}, not {expected}"
            if found != expected and problem not in self.problems:
                self.problems.append(problem)
        predictions: list[dict[str, Answer]] = json.loads(content)["predictions"]
        return predictions


def _seen(example: GoldenExample, way: str, expected: Answer, answered: Answer) -> Seen:
    return Seen(example.file, way, example.label, _label(expected), _label(answered), difference(expected, answered))


def _label(answer: Answer) -> str:
    return max(answer, key=lambda name: answer[name])


def _problems(
    seen: list[Seen], expected: list[Answer], classes: list[str], package: Package, tolerance: float
) -> list[str]:
    far = [one for one in seen if not one.difference <= tolerance]
    if not far and all(one.expected == one.answered for one in seen):
        return []
    served = package.signature().classes
    if served != classes:
        moved = [f"{new} is the training's {old}" for old, new in zip(classes, served, strict=False) if old != new]
        return [f"the labels are in another order than in training: the service's {', '.join(moved[:4])}"]
    worst = max(far or seen, key=lambda one: one.difference)
    files = {one.file for one in far}
    total = {one.file for one in seen}
    return [
        f"{len(files)} of {len(total)} golden examples are answered otherwise than in training, at most by "
        f"{worst.difference:.2g} ({worst.file}, {worst.way}); {_guess(seen, files)}"
    ]


def _guess(seen: list[Seen], files: set[str]) -> str:
    alone = {one.file for one in seen if one.way == "alone"}
    if files and not any(one.way == "alone" and one.file in files and one.difference > 1e-3 for one in seen):
        return "alone they are right: the service mixes up or changes the images of a batch"
    if files == alone:
        return "all of them, so the service normalises or decodes images otherwise, or holds other weights"
    return "some of them, so their kind of image is decoded otherwise"


def _alone(package: Package, examples: Sequence[GoldenExample], expected: Sequence[Answer]) -> str:
    """What the graph says by itself, to tell wrong answers from a service that is broken."""
    try:
        predictor = Predictor(package)
        contents = [(package.folder / "golden" / example.file).read_bytes() for example in examples]
        answers = [prediction.probabilities for prediction in predictor.predict(contents)]
    except ModelyardError as error:
        return f"asked without it, the package fails too: {error.what}"
    worst = max(difference(*pair) for pair in zip(expected, answers, strict=True))
    if worst > 1e-3:
        return f"asked without it, the graph answers otherwise than in training, by up to {worst:.2g}"
    return f"asked without it, package {digest.short(package.digest)} answers as in training"
