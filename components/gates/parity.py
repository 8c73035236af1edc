"""Gate parity: the endpoint of the bundle predicts the golden examples as the training process did.

A prediction is the JSON value of the task. Numbers may differ by the tolerance, everything else must be equal
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
from components.gates.endpoint import Endpoint, EndpointStartFailed
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
FIX_BUNDLE = "mend what the log names, then build the bundle again (`modelyard run {} --force bundle`)"


class BatchPlan(NamedTuple):
    """The order of the examples in requests, and the number of examples in one request."""

    name: str
    positions: list[int]
    batch_size: int


class ParityRow(NamedTuple):
    """One example by one batch plan: the predictions of training and endpoint, shortened, and how far they differ."""

    file: str
    batch_plan: str
    truth: str
    expected: str
    answered: str
    difference: float
    label_differs: bool


class Parity(NamedTuple):
    """Comparisons with the largest difference first, and the problems as text."""

    rows: list[ParityRow]
    problems: list[str]


class _RequestFailed(Exception):
    """A request with golden examples failed."""


def check(endpoint: Endpoint, package: Package, candidate: Candidate, tolerance: float) -> tuple[GateResult, Parity]:
    """Predict every golden example by each batch plan and compare with the predictions of the training process."""
    examples = package.golden()
    contents = [(package.folder / "golden" / example.file).read_bytes() for example in examples]
    rows: list[ParityRow] = []
    problems: list[str] = []
    next_step = TRAIN_AGAIN
    try:
        endpoint.wait()
        client = _Client(endpoint.port, package, candidate)
        try:
            for plan in batch_plans([len(content) for content in contents], client.max_batch):
                for position, answer in client.predict(plan, examples, contents):
                    rows.append(_compare(examples[position], plan.name, answer))
            problems += client.problems
        finally:
            client.close()
        problems += problems_of(rows, package, tolerance)
    except EndpointStartFailed as error:
        in_process = _check_in_process(package, examples, contents)
        problems.append(
            f"the bundle's endpoint does not start: {cause(str(error))} ({in_process}); its log ends:\n{error}"
        )
        next_step = FIX_BUNDLE.format(candidate.name)
    except _RequestFailed as error:
        problems.append(str(error))
    worst = max((row.difference for row in rows), default=float("nan"))
    figures: dict[str, float | int | str] = {"examples": len(examples), "answers": len(rows)}
    if rows:
        figures |= {"max_difference": worst, "labels_differ": sum(row.label_differs for row in rows)}
    return GateResult(
        gate="parity",
        passed=not problems,
        figures=figures,
        limit=f"each number within {tolerance:g} of the training process's, alone, in a batch, in another order",
        reason="; ".join(problems)
        or f"{len(examples)} golden examples answered as in training, largest difference {worst:.1e}",
        next_step=next_step if problems else None,
    ), Parity(sorted(rows, key=lambda row: -row.difference), problems)


def batch_plans(sizes: Sequence[int], max_batch: int) -> list[BatchPlan]:
    """Alone, and in batches of the maximum size: in order, reversed, shuffled (seeded), and short beside long.

    Args:
        sizes: bytes of each example.
    """
    order = list(range(len(sizes)))
    shuffled = order.copy()
    random.Random(0).shuffle(shuffled)  # noqa: S311  # a fixed order, not a secret
    plans = [
        BatchPlan("alone", order, 1),
        BatchPlan("in a batch", order, max_batch),
        BatchPlan("reversed", order[::-1], max_batch),
        BatchPlan("shuffled", shuffled, max_batch),
    ]
    if len(set(sizes)) > 1:
        by_size = sorted(order, key=lambda position: sizes[position])
        mixed = [by_size[index // 2] if index % 2 == 0 else by_size[-1 - index // 2] for index in order]
        plans.append(BatchPlan("short beside long", mixed, max_batch))
    return plans


class _Client:
    """One connection to the endpoint; checks the package and version in the headers of its responses."""

    def __init__(self, port: int, package: Package, candidate: Candidate) -> None:
        settings = json.loads((package.folder.parent / "serving.json").read_bytes())
        self.max_batch: int = settings["max_batch_size"]
        self._max_bytes: int = settings["max_request_bytes"]
        classes = package.signature().classes
        self._endpoint: EndpointSchema = tasks.find(package.facts.task).load(package.folder).endpoint(classes)
        self._expected = {"X-Modelyard-Package": candidate.package_digest, "X-Modelyard-Version": candidate.version}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self.problems: list[str] = []

    def predict(
        self, plan: BatchPlan, examples: Sequence[GoldenExample], contents: Sequence[bytes]
    ) -> Iterator[tuple[int, Prediction]]:
        """Position and prediction of each example.

        Raises:
            _RequestFailed: the status is not 200, or the number of predictions is not the number of samples.
        """
        for group in self._groups(plan, contents):
            if plan.batch_size == 1:
                content, media = contents[group[0]], examples[group[0]].media
            else:
                bodies = [(contents[position], examples[position].media) for position in group]
                content, media = json.dumps(body.joined(self._endpoint, bodies)).encode(), body.JSON
            names = ", ".join(examples[position].file for position in group[:3])
            predictions = self._post(content, media, f"{names} ({plan.name})")
            if len(predictions) != len(group):
                raise _RequestFailed(f"{len(group)} samples got {len(predictions)} predictions ({plan.name})")
            yield from zip(group, predictions, strict=True)

    def close(self) -> None:
        self._connection.close()

    def _groups(self, plan: BatchPlan, contents: Sequence[bytes]) -> Iterator[list[int]]:
        """Positions of the examples of each request, within the limits of the service in number and in bytes.

        Base64 makes 4 bytes of 3, and JSON escapes some.
        """
        group: list[int] = []
        size = 0
        for position in plan.positions:
            length = len(contents[position]) * 4 // 3 + 8
            if group and (len(group) == plan.batch_size or size + length > self._max_bytes - 64):
                yield group
                group, size = [], 0
            group.append(position)
            size += length
        if group:
            yield group

    def _post(self, content: bytes, media: str, description: str) -> list[Prediction]:
        try:
            self._connection.request("POST", "/predict", content, {"Content-Type": media})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _RequestFailed(f"the endpoint broke off at {description}: {error!r}") from error
        if response.status != http.HTTPStatus.OK:
            text = answer.decode("utf-8", "replace")[:300]
            raise _RequestFailed(f"the endpoint answers {description} with {response.status}: {text}")
        for name, expected in self._expected.items():
            actual = response.getheader(name)
            problem = f"its answers say {name}: {actual}, not {expected}"
            if actual != expected and problem not in self.problems:
                self.problems.append(problem)
        predictions: list[Prediction] = json.loads(answer)["predictions"]
        return predictions


def _compare(example: GoldenExample, batch_plan: str, answered: Prediction) -> ParityRow:
    distance = difference(example.answer, answered)
    labels = [answer.get("label") for answer in (example.answer, answered)]
    return ParityRow(
        example.file,
        batch_plan,
        example.truth,
        _short(example.answer),
        _short(answered),
        distance,
        labels[0] != labels[1],
    )


def _short(answer: Prediction) -> str:
    """The label of a prediction, or else the beginning of its JSON text."""
    if isinstance(answer.get("label"), str):
        return str(answer["label"])
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def cause(log: str) -> str:
    """The last line of a log that names an error, or the last line."""
    lines = log.strip().splitlines() or [""]
    return next((line for line in reversed(lines) if NAMED_ERROR.match(line)), lines[-1])


def problems_of(rows: list[ParityRow], package: Package, tolerance: float) -> list[str]:
    """The differences from the training process as text; [] if there is none."""
    differing = [row for row in rows if not row.difference <= tolerance]
    if not differing and not any(row.label_differs for row in rows):
        return []
    classes, served = package.golden_classes(), package.signature().classes
    if served != classes:
        swapped = [f"{new} is the training's {old}" for old, new in zip(classes, served, strict=False) if old != new]
        return [f"the labels are in another order than in training: the service's {', '.join(swapped[:4])}"]
    worst = max(differing or rows, key=lambda row: row.difference)
    files = {row.file for row in differing}
    total = {row.file for row in rows}
    how = "in other words or numbers of them" if worst.difference == float("inf") else f"by {worst.difference:.2g}"
    return [
        f"{len(files)} of {len(total)} golden examples are answered otherwise than in training, at most "
        f"{how} ({worst.file}, {worst.batch_plan}); {_diagnose(rows, files)}"
    ]


def _diagnose(rows: list[ParityRow], files: set[str]) -> str:
    alone = {row.file for row in rows if row.batch_plan == "alone"}
    if files and not any(row.batch_plan == "alone" and row.file in files and row.difference > 1e-3 for row in rows):
        only_mixed_sizes = all(
            row.batch_plan == "short beside long" for row in rows if row.file in files and row.difference > 1e-3
        )
        if only_mixed_sizes:
            return "only beside samples of other lengths: an answer depends on its padding"
        return "alone they are right: the service mixes up or changes the samples of a batch"
    if files == alone:
        return "all of them, so the service normalises or decodes samples otherwise, or holds other weights"
    return "some of them, so their kind of sample is decoded otherwise"


def _check_in_process(package: Package, examples: Sequence[GoldenExample], contents: Sequence[bytes]) -> str:
    """Predict without the endpoint, to tell a wrong package from a broken service; the result as text."""
    worst = 0.0
    try:
        predictor = Predictor(package)
        for example, content in zip(examples, contents, strict=True):
            request = body.read(predictor.processor, predictor.endpoint, content, example.media)
            (answer,) = predictor.predict(request.items, request.parameters)
            worst = max(worst, difference(example.answer, answer))
    except ModelyardError as error:
        return f"asked without it, the package fails too: {error.what}"
    if worst > 1e-3:
        return f"asked without it, the graph answers otherwise than in training, by up to {worst:.2g}"
    return f"asked without it, package {digest.short(package.digest)} answers as in training"
