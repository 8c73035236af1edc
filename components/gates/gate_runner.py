"""The gates, one after the other, once the bytes of a bundle are known to be whole and its endpoint is starting."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from components.contracts.gate_request import Candidate, GateRequest
from components.core.errors import NotFoundError
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.gates import champion, floors, integrity, latency, parity
from components.gates.bundle_integrity import Held, source
from components.gates.endpoint import Endpoint
from components.gates.findings import Found
from components.gates.scoring import Unfit, score
from components.identity.package import Package


def ask(request: GateRequest, held: Held, package: Package, endpoints: dict[str, Endpoint], found: Found) -> None:
    """Integrity of data and figures first; if that holds all the others, whatever one of them says.

    Args:
        endpoints: `candidate`, and `champion` where latencies are compared; both may still be starting.

    Raises:
        NotFoundError: the data to score on is not there.
        ServingError: an endpoint could not be run, through no fault of the candidate.
        CorruptArtifactError: the champion's package is not as sealed.
    """
    data = integrity.look_at_data(request, package)
    scores = _Scores(request, package, data)
    if "integrity" in request.asked:
        findings = [*data.findings]
        if data.own and not findings:
            findings += integrity.look_at_metrics(package, scores.candidate)
        found.add(integrity.result(held, data, findings))
        if findings:
            return
    if "floors" in request.asked:
        result, found.floors = floors.judge(scores.candidate, request.gates.floors)
        found.add(result)
    if "champion" in request.asked:
        _compare(request, scores, found)
    if "parity" in request.asked:
        tolerance = request.gates.parity.tolerance
        result, found.parity = parity.judge(endpoints["candidate"], package, request.candidate, tolerance)
        found.add(result)
    if "latency" in request.asked and request.gates.latency is not None:
        _measure(request, package, endpoints, found)


class _Scores:
    """What the packages answer on the test split, each asked once and only if a gate wants to know."""

    def __init__(self, request: GateRequest, package: Package, data: integrity.Data) -> None:
        self._request, self._package, self._data = request, package, data

    @cached_property
    def frozen(self) -> FrozenSplit:
        """The frozen test split."""
        folder = Path(self._request.dataset) / "prepared"
        if self._data.prepared is None:
            raise NotFoundError(
                "no prepared data to score on",
                where=str(folder),
                next_step=f"`modelyard run {self._request.pipeline}` makes it",
            )
        return FrozenSplit.open(folder, self._data.prepared.facts)

    @cached_property
    def candidate(self) -> Scored | Unfit:
        """The candidate's answers."""
        return score(self._package, self.frozen, f"version {self._request.candidate.version}")

    def champion(self, candidate: Candidate) -> Scored | Unfit:
        """The champion's answers; it may have been trained on other data, with another tokenizer or scaler."""
        package = Package.open(source(candidate) / "package")
        return score(package, self.frozen, f"version {candidate.version}", own_reading=True)


def _compare(request: GateRequest, scores: _Scores, found: Found) -> None:
    spec = request.gates.champion
    result = champion.nothing_to_compare(request)
    if result is None and request.champion is not None and spec is not None:
        other = scores.champion(request.champion)
        result, found.comparison = champion.judge(request, spec, scores.candidate, other, scores.frozen)
        if found.comparison is not None:
            # The endpoint is still starting: time to draw, and to import what draws.
            from components.gates.plots import draw_comparison

            found.pictures["champion"] = draw_comparison(found.comparison)
    if result is not None:
        found.add(result)


def _measure(request: GateRequest, package: Package, endpoints: dict[str, Endpoint], found: Found) -> None:
    spec = request.gates.latency
    if spec is None:
        return
    result, found.latency = latency.judge(spec, package, endpoints["candidate"], endpoints.get("champion"))
    found.add(result)
    if found.latency:
        from components.gates.plots import draw_latency

        found.pictures["latency"] = draw_latency(found.latency, spec.p99_ms)
