"""Gate latency: the latency of a golden example under a given load, measured in turns with the champion's."""

from __future__ import annotations

from typing import NamedTuple

from components.contracts.gate_request import GateResult
from components.contracts.pipeline import LatencySpec
from components.core.errors import ServingError
from components.gates import load
from components.gates.endpoint import Endpoint, EndpointStartFailed
from components.identity.package import Package

SLICE_SECONDS = 0.5
WARM_UP_SECONDS = 0.3


class EndpointLatency(NamedTuple):
    """Latencies of one endpoint in milliseconds, sorted, and the number of requests with a status other than 200."""

    name: str
    milliseconds: list[float]
    errors: int

    def percentile(self, percent: float) -> float:
        """The given percentile of the latencies; infinite without a latency."""
        if not self.milliseconds:
            return float("inf")
        return self.milliseconds[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * percent / 100))]


def check(
    spec: LatencySpec, package: Package, candidate: Endpoint, champion: Endpoint | None
) -> tuple[GateResult, list[EndpointLatency]]:
    """Measure both endpoints in turns and compare the 99th percentile with the limits.

    Raises:
        ServingError: the champion's endpoint does not start.
    """
    limit = f"p99 at most {spec.p99_ms:g} ms at {spec.connections} connections"
    if spec.max_ratio is not None:
        limit += f" and at most {spec.max_ratio:g} times the champion's"
    try:
        candidate.wait()
    except EndpointStartFailed:
        reason = "not measured: the bundle's endpoint does not start"
        return GateResult(
            gate="latency", passed=False, figures={}, limit=limit, reason=reason, next_step="see the parity gate"
        ), []
    endpoints = {"candidate": candidate}
    if champion is not None:
        try:
            champion.wait()
        except EndpointStartFailed as error:
            raise ServingError("the champion's bundle does not start", got=error) from error
        endpoints["champion"] = champion
    measured = measure(endpoints, package, spec)
    problems = problems_of(measured, spec)
    first = measured[0]
    figures: dict[str, float | int | str] = {"connections": spec.connections}
    for latency in measured:
        figures |= {
            f"{latency.name}_p50_ms": round(latency.percentile(50), 3),
            f"{latency.name}_p99_ms": round(latency.percentile(99), 3),
        }
        figures[f"{latency.name}_requests"] = len(latency.milliseconds)
    beside = ""
    if len(measured) > 1:
        figures["ratio"] = round(_ratio(measured), 3)
        beside = f", the champion's {measured[1].percentile(99):.1f} ms"
    return GateResult(
        gate="latency",
        passed=not problems,
        figures=figures,
        limit=limit,
        reason="; ".join(problems) or f"p99 is {first.percentile(99):.1f} ms{beside}",
        next_step="a smaller model, or more room in gates.latency; measure again on a quiet machine"
        if problems
        else None,
    ), measured


def measure_candidate(candidate: Endpoint, package: Package, spec: LatencySpec) -> EndpointLatency | None:
    """The latencies of the candidate alone; None if its endpoint does not start."""
    try:
        candidate.wait()
    except EndpointStartFailed:
        return None
    return measure({"candidate": candidate}, package, spec)[0]


def measure(endpoints: dict[str, Endpoint], package: Package, spec: LatencySpec) -> list[EndpointLatency]:
    """Measure the endpoints in alternating slices of time, so that other load of the machine affects all alike.

    The first slice warms up and does not count.
    """
    example = package.golden()[0]
    content = (package.folder / "golden" / example.file).read_bytes()
    slices = max(2, round(spec.seconds / SLICE_SECONDS))
    latencies_ms: dict[str, list[float]] = {name: [] for name in endpoints}
    errors = dict.fromkeys(endpoints, 0)
    for turn in range(-1, slices):
        names = list(endpoints) if turn % 2 else list(endpoints)[::-1]
        for name in names:
            port = endpoints[name].port
            seconds = spec.seconds / slices if turn >= 0 else WARM_UP_SECONDS
            post = load.post("/predict", content, example.media, port)
            result = load.run(post, port, connections=spec.connections, seconds=seconds)
            if turn >= 0:
                latencies_ms[name] += [1000 * value for value in result.latencies]
                errors[name] += result.errors
    return [EndpointLatency(name, sorted(latencies_ms[name]), errors[name]) for name in endpoints]


def problems_of(measured: list[EndpointLatency], spec: LatencySpec) -> list[str]:
    """The exceeded limits as text.

    Args:
        measured: the candidate, then the champion if it was measured.
    """
    problems = []
    first = measured[0]
    if first.errors:
        problems.append(f"{first.errors} requests were not answered with 200")
    if not first.percentile(99) <= spec.p99_ms:
        problems.append(f"p99 is {first.percentile(99):.1f} ms, over the budget of {spec.p99_ms:g} ms")
    if len(measured) > 1 and spec.max_ratio is not None and not _ratio(measured) <= spec.max_ratio:
        both = f"{first.percentile(99):.1f} ms against {measured[1].percentile(99):.1f} ms"
        problems.append(f"p99 is {_ratio(measured):.2f} times the champion's ({both}), over {spec.max_ratio:g}")
    return problems


def _ratio(measured: list[EndpointLatency]) -> float:
    return measured[0].percentile(99) / measured[1].percentile(99)
