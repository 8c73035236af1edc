"""Gate parity: golden examples through the packaged endpoint are answered as the training process answered them.

An answer is whatever JSON the task gives. Its numbers may differ by the tolerance, all else is equal or wrong
(components.inference.difference).
"""

from __future__ import annotations

import http.client
import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from components import tasks
from components.contracts.gate_request import Candidate, GateResult
from components.core.errors import ModelyardError
from components.gates.endpoint import DoesNotStart, Endpoint
from components.identity import digest
from components.identity.package import GoldenExample, Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
from components.tasks.task import EndpointSchema, Prediction

TIMEOUT_SECONDS = 60.0
TRAIN_AGAIN = "do not trust this package: what it holds is not what was trained; train it again"
MOST_CHARACTERS = 60
NAMED_ERROR = re.compile(r"[A-Za-z_.]*(Error|Exception|Refused)\b")
MEND = "mend what the log names, then build the bundle again (`modelyard run {} --force bundle`)"


class Way(NamedTuple):
    """One way of asking: the positions of the examples, and how many go into one request."""

    name: str
    order: list[int]
    at_once: int


class Seen(NamedTuple):
    """One example by one way: how far the answer is from the training's, both in short, whether their labels differ."""

    file: str
    way: str
    truth: str
    expected: str
    answered: str
    difference: float
    label_differs: bool


class Parity(NamedTuple):
    """What was seen, worst first, and what was wrong."""

    seen: list[Seen]
    problems: list[str]


class _Refused(Exception):
    """The endpoint answered a golden example with something else than 200."""


def judge(endpoint: Endpoint, package: Package, candidate: Candidate, tolerance: float) -> tuple[GateResult, Parity]:
    """Ask for every golden example alone, in batches, reversed, shuffled, and the short beside the long."""
    examples = package.golden()
    contents = [(package.folder / "golden" / example.file).read_bytes() for example in examples]
    seen: list[Seen] = []
    problems: list[str] = []
    next_step = TRAIN_AGAIN
    try:
        endpoint.wait()
        client = _Client(endpoint.port, package, candidate)
        try:
            for way in ways([len(content) for content in contents], client.max_batch):
                for position, answer in client.ask(way, examples, contents):
                    seen.append(_seen(examples[position], way.name, answer))
            problems += client.problems
        finally:
            client.close()
        problems += problems_of(seen, package, tolerance)
    except DoesNotStart as error:
        alone = _alone(package, examples, contents)
        problems.append(f"the bundle's endpoint does not start: {cause(str(error))} ({alone}); its log ends:\n{error}")
        next_step = MEND.format(candidate.name)
    except _Refused as error:
        problems.append(str(error))
    worst = max((one.difference for one in seen), default=float("nan"))
    figures: dict[str, float | int | str] = {"examples": len(examples), "answers": len(seen)}
    if seen:
        figures |= {"max_difference": worst, "labels_differ": sum(one.label_differs for one in seen)}
    return GateResult(
        gate="parity",
        passed=not problems,
        figures=figures,
        limit=f"each number within {tolerance:g} of the training process's, alone, in a batch, in another order",
        reason="; ".join(problems)
        or f"{len(examples)} golden examples answered as in training, largest difference {worst:.1e}",
        next_step=next_step if problems else None,
    ), Parity(sorted(seen, key=lambda one: -one.difference), problems)


def ways(sizes: Sequence[int], max_batch: int) -> list[Way]:
    """Alone, and in batches as large as the service takes: in order, reversed, shuffled (seeded), and mixed by size.

    Args:
        sizes: of each example, in bytes: what is padded beside what it is padded for.
    """
    order = list(range(len(sizes)))
    shuffled = order.copy()
    random.Random(0).shuffle(shuffled)  # noqa: S311  # an order, no secret
    found = [
        Way("alone", order, 1),
        Way("in a batch", order, max_batch),
        Way("reversed", order[::-1], max_batch),
        Way("shuffled", shuffled, max_batch),
    ]
    if len(set(sizes)) > 1:
        rising = sorted(order, key=lambda position: sizes[position])
        mixed = [rising[place // 2] if place % 2 == 0 else rising[-1 - place // 2] for place in order]
        found.append(Way("short beside long", mixed, max_batch))
    return found


class _Client:
    """One connection to the endpoint; notes what its answers say of themselves."""

    def __init__(self, port: int, package: Package, candidate: Candidate) -> None:
        settings = json.loads((package.folder.parent / "serving.json").read_bytes())
        self.max_batch: int = settings["max_batch_size"]
        self._max_bytes: int = settings["max_request_bytes"]
        classes = package.signature().classes
        self._wire: EndpointSchema = tasks.find(package.facts.task).load(package.folder).endpoint(classes)
        self._expected = {"X-Modelyard-Package": candidate.package_digest, "X-Modelyard-Version": candidate.version}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self.problems: list[str] = []

    def ask(
        self, way: Way, examples: Sequence[GoldenExample], contents: Sequence[bytes]
    ) -> Iterator[tuple[int, Prediction]]:
        """Position and answer of each example.

        Raises:
            _Refused: an answer is not 200, or not one prediction a sample.
        """
        for group in self._groups(way, contents):
            if way.at_once == 1:
                sent, media = contents[group[0]], examples[group[0]].media
            else:
                several = [(contents[position], examples[position].media) for position in group]
                sent, media = json.dumps(body.joined(self._wire, several)).encode(), body.JSON
            names = ", ".join(examples[position].file for position in group[:3])
            predictions = self._post(sent, media, f"{names} ({way.name})")
            if len(predictions) != len(group):
                raise _Refused(f"{len(group)} samples got {len(predictions)} predictions ({way.name})")
            yield from zip(group, predictions, strict=True)

    def close(self) -> None:
        self._connection.close()

    def _groups(self, way: Way, contents: Sequence[bytes]) -> Iterator[list[int]]:
        """As many at once as the service takes, in number and in bytes (base64 makes 3 bytes 4; JSON escapes some)."""
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

    def _post(self, sent: bytes, media: str, what: str) -> list[Prediction]:
        try:
            self._connection.request("POST", "/predict", sent, {"Content-Type": media})
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
        predictions: list[Prediction] = json.loads(content)["predictions"]
        return predictions


def _seen(example: GoldenExample, way: str, answered: Prediction) -> Seen:
    apart = difference(example.answer, answered)
    labels = [answer.get("label") for answer in (example.answer, answered)]
    return Seen(
        example.file, way, example.truth, _short(example.answer), _short(answered), apart, labels[0] != labels[1]
    )


def _short(answer: Prediction) -> str:
    """An answer in few words: its label where it has one, else the beginning of its JSON."""
    if isinstance(answer.get("label"), str):
        return str(answer["label"])
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def cause(log: str) -> str:
    """The last line of a log that names an error, or the last line."""
    lines = log.strip().splitlines() or [""]
    return next((line for line in reversed(lines) if NAMED_ERROR.match(line)), lines[-1])


def problems_of(seen: list[Seen], package: Package, tolerance: float) -> list[str]:
    """What is wrong with the answers, in words; [] if nothing is."""
    far = [one for one in seen if not one.difference <= tolerance]
    if not far and not any(one.label_differs for one in seen):
        return []
    classes, served = package.golden_classes(), package.signature().classes
    if served != classes:
        moved = [f"{new} is the training's {old}" for old, new in zip(classes, served, strict=False) if old != new]
        return [f"the labels are in another order than in training: the service's {', '.join(moved[:4])}"]
    worst = max(far or seen, key=lambda one: one.difference)
    files = {one.file for one in far}
    total = {one.file for one in seen}
    how = "in other words or numbers of them" if worst.difference == float("inf") else f"by {worst.difference:.2g}"
    return [
        f"{len(files)} of {len(total)} golden examples are answered otherwise than in training, at most "
        f"{how} ({worst.file}, {worst.way}); {_guess(seen, files)}"
    ]


def _guess(seen: list[Seen], files: set[str]) -> str:
    alone = {one.file for one in seen if one.way == "alone"}
    if files and not any(one.way == "alone" and one.file in files and one.difference > 1e-3 for one in seen):
        mixed = all(one.way == "short beside long" for one in seen if one.file in files and one.difference > 1e-3)
        if mixed:
            return "only beside samples of other lengths: an answer depends on its padding"
        return "alone they are right: the service mixes up or changes the samples of a batch"
    if files == alone:
        return "all of them, so the service normalises or decodes samples otherwise, or holds other weights"
    return "some of them, so their kind of sample is decoded otherwise"


def _alone(package: Package, examples: Sequence[GoldenExample], contents: Sequence[bytes]) -> str:
    """What the graphs say by themselves, to tell wrong answers from a service that is broken."""
    worst = 0.0
    try:
        predictor = Predictor(package)
        for example, content in zip(examples, contents, strict=True):
            asked = body.read(predictor.processor, predictor.endpoint, content, example.media)
            (answer,) = predictor.predict(asked.items, asked.parameters)
            worst = max(worst, difference(example.answer, answer))
    except ModelyardError as error:
        return f"asked without it, the package fails too: {error.what}"
    if worst > 1e-3:
        return f"asked without it, the graph answers otherwise than in training, by up to {worst:.2g}"
    return f"asked without it, package {digest.short(package.digest)} answers as in training"
