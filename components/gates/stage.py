"""The stage `gates`: run the gates on a version with its bundle, and write evidence and report."""

from __future__ import annotations

import json
import math
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from components.contracts.gate_request import Candidate, GateEvidence, GateRequest
from components.core import atomic
from components.core.errors import ServingError
from components.gates import bundle_integrity, evidence
from components.gates.endpoint import Endpoint
from components.gates.findings import Findings, log

EVIDENCE, REPORT, PICTURE = "evidence.json", "report.html", "comparison.png"


def main(arguments: list[str]) -> None:
    """Run the gates that a request file names; a refusal is a result, not an error.

    Raises:
        UsageError: not called with one readable request file.
        NotFoundError: the prepared data is missing.
        ServingError: an endpoint could not be run for a reason other than the candidate.
        CorruptArtifactError: the champion's package differs from its manifest.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `finally` blocks end the started processes
    request = GateRequest.read(arguments)
    start = time.monotonic()
    findings = check(request)
    write(request, findings)
    refused = [result.gate for result in findings.results if not result.passed]
    summary = f"refused by {', '.join(refused)}" if refused else "every gate passed"
    log(f"{summary}; {time.monotonic() - start:.1f} s, report in {Path(request.folder) / REPORT}")


def check(request: GateRequest) -> Findings:
    """Check the bundle; if it is intact, start its endpoint and run the gates meanwhile."""
    findings = Findings()
    log(f"{request.candidate.name} version {request.candidate.version}: {', '.join(request.asked)}")
    bundle_check = bundle_integrity.check_bundle(request)
    with ExitStack() as stack:
        endpoints = _start(request, stack) if bundle_check.package is not None and not bundle_check.problems else {}
        # numpy, scipy and onnxruntime take as long to import as the endpoint to start.
        from components.gates import gate_runner, integrity

        if bundle_check.package is None or bundle_check.problems:
            findings.add(integrity.result(bundle_check, None, bundle_check.problems))
        else:
            gate_runner.run_gates(request, bundle_check, bundle_check.package, endpoints, findings)
    return findings


def write(request: GateRequest, findings: Findings) -> None:
    """Write evidence, report and plot; atomic."""
    from components.gates import report

    results = [result.model_copy(update={"figures": _writable(result.figures)}) for result in findings.results]
    document = GateEvidence(key=evidence.key(request), results=results, report=REPORT)
    with atomic.folder(Path(request.folder)) as fresh:
        text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / EVIDENCE).write_text(text + "\n", encoding="utf-8")
        (fresh / REPORT).write_text(report.render(request, findings), encoding="utf-8")
        if "champion" in findings.pictures:
            (fresh / PICTURE).write_bytes(findings.pictures["champion"])


def _start(request: GateRequest, stack: ExitStack) -> dict[str, Endpoint]:
    """Start the endpoints that the requested gates need."""
    compared = "latency" in request.asked and request.gates.latency is not None
    limited = "budget" in request.asked and request.budget is not None and request.budget.latency_ms is not None
    measured = compared or limited
    if not measured and "parity" not in request.asked:
        return {}
    bundles = {"candidate": request.candidate}
    champion = request.champion if compared else None
    if champion is not None and champion.package_digest != request.candidate.package_digest:
        bundles["champion"] = champion
    return {role: stack.enter_context(_endpoint(candidate, measured)) for role, candidate in bundles.items()}


def _endpoint(candidate: Candidate, measured: bool) -> Endpoint:
    path = bundle_integrity.source_folder(candidate) / "serving.json"
    try:
        settings = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ServingError(
            f"the bundle of {candidate.name} version {candidate.version} is not here",
            where=candidate.bundle,
            next_step=f"build it again: `modelyard serve {candidate.name} --version {candidate.version}`",
        ) from error
    workers = int(settings["workers"]) if measured else 1
    return Endpoint(Path(candidate.bundle), workers, f"{candidate.name} version {candidate.version}")


def _writable(figures: dict[str, float | int | str]) -> dict[str, float | int | str]:
    """Replace NaN and infinity by text: JSON has no such numbers."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }
