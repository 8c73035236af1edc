"""Run the gates in order, after `check_bundle` has passed and while the endpoint starts."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from components.contracts.budget_spec import BudgetSpec
from components.contracts.gate_request import Candidate, GateRequest
from components.contracts.pipeline import ChampionSpec, LatencySpec
from components.core.errors import NotFoundError
from components.evaluation.comparison import ChampionComparison
from components.evaluation.comparison import compare as compare_scores
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.gates import baseline, budget, champion, floors, integrity, latency, parity, selection
from components.gates.bundle_integrity import BundleCheck, source_folder
from components.gates.endpoint import Endpoint
from components.gates.findings import Findings
from components.gates.scoring import ScoringFailure, score
from components.identity.package import Package


def run_gates(
    request: GateRequest,
    bundle_check: BundleCheck,
    package: Package,
    endpoints: dict[str, Endpoint],
    findings: Findings,
) -> None:
    """Run the integrity gate; if it passes, run all other requested gates, also after a refusal.

    Args:
        endpoints: `candidate`, and `champion` if latencies are compared; both may still be starting.
        findings: results and details are added to it.

    Raises:
        NotFoundError: the prepared data is missing.
        ServingError: an endpoint could not be run for a reason other than the candidate.
        CorruptArtifactError: the champion's package differs from its manifest.
    """
    data_check = integrity.check_data(request, package)
    scores = _Scores(request, package, data_check)
    if "integrity" in request.asked:
        problems = [*data_check.problems]
        if data_check.own and not problems:
            problems += integrity.check_metrics(package, scores.candidate)
        findings.add(integrity.result(bundle_check, data_check, problems))
        if problems:
            return
    if "floors" in request.asked:
        result, findings.floors = floors.check(scores.candidate, request.gates.floors)
        findings.add(result)
    if "baseline" in request.asked:
        result, findings.baseline = baseline.check(package, request.gates.beats_baseline)
        findings.add(result)
    if "selection" in request.asked and request.chosen is not None:
        prepared = Path(request.dataset) / "prepared"
        findings.add(selection.check(request.chosen, request.gates.selection, prepared))
    if "champion" in request.asked:
        _compare(request, scores, findings)
    if "parity" in request.asked:
        tolerance = request.gates.parity.tolerance
        result, findings.parity = parity.check(endpoints["candidate"], package, request.candidate, tolerance)
        findings.add(result)
    if "latency" in request.asked and request.gates.latency is not None:
        _measure(request, package, endpoints, findings)
    if "budget" in request.asked and request.budget is not None:
        _check_budget(request, request.budget, scores, endpoints, findings)


class _Scores:
    """Predictions of the packages on the test split, computed at most once, when a gate needs them."""

    def __init__(self, request: GateRequest, package: Package, data_check: integrity.DataCheck) -> None:
        self._request, self.package, self._data_check = request, package, data_check

    @cached_property
    def frozen(self) -> FrozenSplit:
        """The frozen test split."""
        folder = Path(self._request.dataset) / "prepared"
        if self._data_check.prepared is None:
            raise NotFoundError(
                "no prepared data to score on",
                where=str(folder),
                next_step=f"`modelyard run {self._request.pipeline}` makes it",
            )
        return FrozenSplit.open(folder, self._data_check.prepared.facts)

    @property
    def test_data(self) -> str:
        """Digest of the prepared data."""
        return self._data_check.prepared.digest if self._data_check.prepared is not None else ""

    @cached_property
    def candidate(self) -> Scored | ScoringFailure:
        """The scored candidate."""
        return score(self.package, self.frozen, f"version {self._request.candidate.version}")

    def champion(self, candidate: Candidate) -> Scored | ScoringFailure:
        """The scored champion; it may have been trained on other data, with another tokenizer or scaler."""
        package = Package.open(source_folder(candidate) / "package")
        return score(package, self.frozen, f"version {candidate.version}", allow_reencoding=True)


def _compare(request: GateRequest, scores: _Scores, findings: Findings) -> None:
    spec = request.gates.champion
    result = champion.nothing_to_compare(request)
    if result is None and request.champion is not None and spec is not None:
        champion_scored = scores.champion(request.champion)
        result, findings.comparison = champion.check(
            request, spec, scores.candidate, champion_scored, scores.frozen, scores.test_data
        )
        if findings.comparison is not None:
            # The endpoint is still starting: import matplotlib and draw meanwhile.
            from components.gates.plots import draw_comparison

            findings.pictures["champion"] = draw_comparison(findings.comparison)
    if result is not None:
        findings.add(result)


def _measure(request: GateRequest, package: Package, endpoints: dict[str, Endpoint], findings: Findings) -> None:
    spec = request.gates.latency
    if spec is None:
        return
    result, findings.latency = latency.check(spec, package, endpoints["candidate"], endpoints.get("champion"))
    findings.add(result)
    if findings.latency:
        from components.gates.plots import draw_latency

        findings.pictures["latency"] = draw_latency(findings.latency, spec.p99_ms)


def _check_budget(
    request: GateRequest, spec: BudgetSpec, scores: _Scores, endpoints: dict[str, Endpoint], findings: Findings
) -> None:
    champion_bundle = request.champion
    is_other = champion_bundle is not None and champion_bundle.package_digest != request.candidate.package_digest
    owes_gain, is_counted = spec.min_gain_per_doubling is not None, spec.parameters is not None
    counts = budget.ParameterCounts(
        scores.package.parameters() if owes_gain or is_counted else None,
        Package.open(source_folder(champion_bundle) / "package").parameters()
        if owes_gain and is_other and champion_bundle is not None
        else None,
    )

    def measure_latency() -> latency.EndpointLatency | None:
        if findings.latency:  # by the gate before
            return findings.latency[0]
        load = request.gates.latency or LatencySpec(p99_ms=spec.latency_ms or 1.0)
        return latency.measure_candidate(endpoints["candidate"], scores.package, load)

    def compare() -> ChampionComparison | str:
        metric = next(iter(scores.frozen.task.metrics))
        if findings.comparison is not None and findings.comparison.metric == metric:
            return findings.comparison
        assert champion_bundle is not None  # noqa: S101  # else there are no counts to compare
        candidate, champion_scored = scores.candidate, scores.champion(champion_bundle)
        for role, scored in (("candidate", candidate), ("champion", champion_scored)):
            if isinstance(scored, ScoringFailure):
                return f"the {role} cannot be scored on the test split: {scored.reason}"
        assert not isinstance(candidate, ScoringFailure)  # noqa: S101  # checked in the loop above
        assert not isinstance(champion_scored, ScoringFailure)  # noqa: S101
        higher = scores.frozen.task.metrics[metric].higher_is_better
        confidence = (request.gates.champion or ChampionSpec()).confidence
        return compare_scores(
            candidate, champion_scored, metric, higher_is_better=higher, min_effect=0.0, confidence=confidence
        )

    findings.add(budget.check(request, spec, counts, measure_latency, compare))
