"""The stage: a version with its bundle goes through the gates, and what they found is written down."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from components.contracts import atomic
from components.contracts.errors import NotFoundError, UsageError
from components.contracts.gate_request import Candidate, GateEvidence, GateRequest, GateResult
from components.contracts.package import Package
from components.evaluation.comparison import Comparison
from components.gates import champion, evidence, floors, integrity, latency, parity
from components.gates.endpoint import Endpoint
from components.gates.floors import Floor
from components.gates.integrity import source
from components.gates.latency import Measured
from components.gates.parity import Parity
from components.gates.scoring import FrozenSplit, Scored, Unfit, score

EVIDENCE, REPORT, PICTURE = "evidence.json", "report.html", "comparison.png"
DEFAULT_STEP = "train longer or otherwise, mend the data, or lower the floor in the pipeline's gates:"


def main(arguments: list[str]) -> None:
    """Go through the gates that a request file asks for; a refusal is a result, no error.

    Raises:
        UsageError: not one readable request file.
        NotFoundError: the data to score on is not there.
        ServingError: an endpoint could not be run, through no fault of the candidate.
        CorruptArtifactError: the champion's package is not as sealed.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended in every case
    request = _read(arguments)
    begun = time.monotonic()
    found = judge(request)
    write(request, found)
    refused = [result.gate for result in found.results if not result.passed]
    word = f"refused by {', '.join(refused)}" if refused else "every gate passed"
    say(f"{word}; {time.monotonic() - begun:.1f} s, report in {Path(request.folder) / REPORT}")


@dataclass
class Found:
    """What the gates found, and what the report shows of it."""

    results: list[GateResult] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    comparison: Comparison | None = None
    parity: Parity | None = None
    latency: list[Measured] = field(default_factory=list)

    def add(self, result: GateResult) -> None:
        """Take a gate's result and say it."""
        self.results.append(result)
        say(f"{result.gate}: {'passed' if result.passed else 'REFUSED'}: {result.reason}")


def judge(request: GateRequest) -> Found:
    """Integrity first: nothing of a bundle runs whose bytes are not whole. Then all the others, whatever one says."""
    found = Found()
    say(f"{request.candidate.name} version {request.candidate.version}: {', '.join(request.asked)}")
    held = integrity.look_at_bundle(request)
    if held.package is None or held.findings:
        found.add(integrity.result(held, None, held.findings))
        return found
    with ExitStack() as stack:
        endpoints = _start(request, stack)
        data = integrity.look_at_data(request, held.package)
        scores = _Scores(request, held.package, data)
        if "integrity" in request.asked:
            findings = [*data.findings]
            if data.own and not findings:
                findings += integrity.look_at_metrics(held.package, scores.candidate, scores.split)
            found.add(integrity.result(held, data, findings))
            if findings:
                return found
        if "floors" in request.asked:
            result, found.floors = floors.judge(scores.candidate, scores.split, request.gates.floors, DEFAULT_STEP)
            found.add(result)
        if "champion" in request.asked:
            _compare(request, scores, found)
        if "parity" in request.asked:
            tolerance = request.gates.parity.tolerance
            result, found.parity = parity.judge(endpoints["candidate"], held.package, request.candidate, tolerance)
            found.add(result)
        if "latency" in request.asked and request.gates.latency is not None:
            result, found.latency = latency.judge(
                request, request.gates.latency, held.package, endpoints["candidate"], endpoints.get("champion")
            )
            found.add(result)
    return found


def write(request: GateRequest, found: Found) -> None:
    """Evidence, report and picture, all at once."""
    results = [result.model_copy(update={"figures": _writable(result.figures)}) for result in found.results]
    document = GateEvidence(key=evidence.key(request), results=results, report=REPORT)
    with atomic.folder(Path(request.folder)) as fresh:
        text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / EVIDENCE).write_text(text + "\n", encoding="utf-8")
        (fresh / REPORT).write_text("", encoding="utf-8")


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


class _Scores:
    """What the packages answer on the test split, each asked once and only if a gate wants to know."""

    def __init__(self, request: GateRequest, package: Package, data: integrity.Data) -> None:
        self._request, self._package, self._data = request, package, data

    @cached_property
    def split(self) -> FrozenSplit:
        """The frozen test split."""
        folder = Path(self._request.dataset) / "prepared"
        if self._data.prepared is None:
            raise NotFoundError(
                "no prepared data to score on",
                where=str(folder),
                next_step=f"`modelyard run {self._request.pipeline}` makes it",
            )
        return FrozenSplit.open(folder, list(self._data.prepared.facts["classes"]))

    @cached_property
    def candidate(self) -> Scored | Unfit:
        """The candidate's answers."""
        return score(self._package, self.split, f"version {self._request.candidate.version}")

    def champion(self, champion: Candidate) -> Scored | Unfit:
        """The champion's answers."""
        return score(Package.open(source(champion) / "package"), self.split, f"version {champion.version}")


def _compare(request: GateRequest, scores: _Scores, found: Found) -> None:
    result = champion.nothing_to_compare(request)
    if result is None and request.champion is not None and request.gates.champion is not None:
        other = scores.champion(request.champion)
        result, found.comparison = champion.judge(
            request, request.gates.champion, scores.candidate, other, scores.split
        )
    if result is not None:
        found.add(result)


def _start(request: GateRequest, stack: ExitStack) -> dict[str, Endpoint]:
    """Start what will be asked over HTTP, so that it becomes ready while the rest is looked at."""
    asked = {"parity", "latency"} & set(request.asked) - ({"latency"} if request.gates.latency is None else set())
    if not asked:
        return {}
    wanted = {"candidate": request.candidate}
    beside = request.champion if "latency" in asked else None
    if beside is not None and beside.package_digest != request.candidate.package_digest:
        wanted["champion"] = beside
    return {role: stack.enter_context(_endpoint(candidate, asked)) for role, candidate in wanted.items()}


def _endpoint(candidate: Candidate, asked: set[str]) -> Endpoint:
    settings = json.loads((source(candidate) / "serving.json").read_bytes())
    workers = int(settings["workers"]) if "latency" in asked else 1
    return Endpoint(Path(candidate.bundle), workers, f"{candidate.name} version {candidate.version}")


def _writable(figures: dict[str, float | int | str]) -> dict[str, float | int | str]:
    """JSON has no NaN and no infinity; they are written as words."""
    return {name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in figures.items()}  # fmt: skip


def _read(arguments: list[str]) -> GateRequest:
    if len(arguments) != 1:
        raise UsageError("one request file is expected", got=" ".join(arguments) or "nothing")
    try:
        return GateRequest.model_validate_json(Path(arguments[0]).read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError("the request cannot be read", where=arguments[0], got=error) from error
