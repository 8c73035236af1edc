"""The stage: a version with its bundle goes through the gates, and what they found is written down."""

from __future__ import annotations

import json
import math
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from components.contracts.gate_request import Candidate, GateEvidence, GateRequest
from components.core import atomic
from components.core.errors import ServingError, UsageError
from components.gates import bundle_integrity, evidence
from components.gates.endpoint import Endpoint
from components.gates.findings import Found, say

EVIDENCE, REPORT, PICTURE = "evidence.json", "report.html", "comparison.png"


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


def judge(request: GateRequest) -> Found:
    """Look at the bundle's bytes, start its endpoint only if they are whole, and ask all else meanwhile."""
    found = Found()
    say(f"{request.candidate.name} version {request.candidate.version}: {', '.join(request.asked)}")
    held = bundle_integrity.look_at_bundle(request)
    with ExitStack() as stack:
        endpoints = _start(request, stack) if held.package is not None and not held.findings else {}
        # numpy, scipy and onnxruntime take as long to import as the endpoint to start.
        from components.gates import gate_runner, integrity

        if held.package is None or held.findings:
            found.add(integrity.result(held, None, held.findings))
        else:
            gate_runner.ask(request, held, held.package, endpoints, found)
    return found


def write(request: GateRequest, found: Found) -> None:
    """Evidence, report and picture, all at once."""
    from components.gates import report

    results = [result.model_copy(update={"figures": _writable(result.figures)}) for result in found.results]
    document = GateEvidence(key=evidence.key(request), results=results, report=REPORT)
    with atomic.folder(Path(request.folder)) as fresh:
        text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / EVIDENCE).write_text(text + "\n", encoding="utf-8")
        (fresh / REPORT).write_text(report.render(request, found), encoding="utf-8")
        if "champion" in found.pictures:
            (fresh / PICTURE).write_bytes(found.pictures["champion"])


def _start(request: GateRequest, stack: ExitStack) -> dict[str, Endpoint]:
    """Start what will be asked over HTTP."""
    measured = "latency" in request.asked and request.gates.latency is not None
    if not measured and "parity" not in request.asked:
        return {}
    wanted = {"candidate": request.candidate}
    beside = request.champion if measured else None
    if beside is not None and beside.package_digest != request.candidate.package_digest:
        wanted["champion"] = beside
    return {role: stack.enter_context(_endpoint(candidate, measured)) for role, candidate in wanted.items()}


def _endpoint(candidate: Candidate, measured: bool) -> Endpoint:
    place = bundle_integrity.source(candidate) / "serving.json"
    try:
        settings = json.loads(place.read_bytes())
    except FileNotFoundError as error:
        raise ServingError(
            f"the bundle of {candidate.name} version {candidate.version} is not here",
            where=candidate.bundle,
            next_step=f"build it again: `modelyard serve {candidate.name} --version {candidate.version}`",
        ) from error
    workers = int(settings["workers"]) if measured else 1
    return Endpoint(Path(candidate.bundle), workers, f"{candidate.name} version {candidate.version}")


def _writable(figures: dict[str, float | int | str]) -> dict[str, float | int | str]:
    """JSON has no NaN and no infinity; they are written as words."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def _read(arguments: list[str]) -> GateRequest:
    if len(arguments) != 1:
        raise UsageError("one request file is expected", got=" ".join(arguments) or "nothing")
    try:
        return GateRequest.model_validate_json(Path(arguments[0]).read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError("the request cannot be read", where=arguments[0], got=error) from error
