"""Gate latency: the time to answer one golden example under a stated load, beside the champion in the same minute."""

from __future__ import annotations

from typing import NamedTuple

from components.contracts.gate_request import GateResult
from components.contracts.pipeline import LatencySpec
from components.core.errors import ServingError
from components.gates import load
from components.gates.endpoint import DoesNotStart, Endpoint
from components.identity.package import Package

SLICE_SECONDS = 0.5
WARM_UP_SECONDS = 0.3


class Measured(NamedTuple):
    """Latencies of one endpoint in milliseconds, sorted, and how many requests were not answered with 200."""

    name: str
    milliseconds: list[float]
    errors: int

    def percentile(self, percent: float) -> float:
        """The smallest latency that so many percent of the answers do not exceed; infinite without an answer."""
        if not self.milliseconds:
            return float("inf")
        return self.milliseconds[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * percent / 100))]


def judge(
    spec: LatencySpec, package: Package, candidate: Endpoint, champion: Endpoint | None
) -> tuple[GateResult, list[Measured]]:
    """Load both endpoints in turns and compare the percentiles with the budget.

    Raises:
        ServingError: the champion's endpoint does not start.
    """
    limit = f"p99 at most {spec.p99_ms:g} ms at {spec.connections} connections"
    if spec.max_ratio is not None:
        limit += f" and at most {spec.max_ratio:g} times the champion's"
    try:
        candidate.wait()
    except DoesNotStart:
        reason = "not measured: the bundle's endpoint does not start"
        return GateResult(
            gate="latency", passed=False, figures={}, limit=limit, reason=reason, next_step="see the parity gate"
        ), []
    endpoints = {"candidate": candidate}
    if champion is not None:
        try:
            champion.wait()
        except DoesNotStart as error:
            raise ServingError("the champion's bundle does not start", got=error) from error
        endpoints["champion"] = champion
    found = measure(endpoints, package, spec)
    problems = problems_of(found, spec)
    first = found[0]
    figures: dict[str, float | int | str] = {"connections": spec.connections}
    for one in found:
        figures |= {
            f"{one.name}_p50_ms": round(one.percentile(50), 3),
            f"{one.name}_p99_ms": round(one.percentile(99), 3),
        }
        figures[f"{one.name}_requests"] = len(one.milliseconds)
    beside = ""
    if len(found) > 1:
        figures["ratio"] = round(_ratio(found), 3)
        beside = f", the champion's {found[1].percentile(99):.1f} ms"
    return GateResult(
        gate="latency",
        passed=not problems,
        figures=figures,
        limit=limit,
        reason="; ".join(problems) or f"p99 is {first.percentile(99):.1f} ms{beside}",
        next_step="a smaller model, or more room in gates.latency; measure again on a quiet machine"
        if problems
        else None,
    ), found


def measure(endpoints: dict[str, Endpoint], package: Package, spec: LatencySpec) -> list[Measured]:
    """Slices of the load in turns, so that what else the machine does meets all alike; the first does not count."""
    example = package.golden()[0]
    content = (package.folder / "golden" / example.file).read_bytes()
    slices = max(2, round(spec.seconds / SLICE_SECONDS))
    found: dict[str, list[float]] = {name: [] for name in endpoints}
    errors = dict.fromkeys(endpoints, 0)
    for turn in range(-1, slices):
        names = list(endpoints) if turn % 2 else list(endpoints)[::-1]
        for name in names:
            port = endpoints[name].port
            seconds = spec.seconds / slices if turn >= 0 else WARM_UP_SECONDS
            post = load.post("/predict", content, example.media, port)
            done = load.run(post, port, connections=spec.connections, seconds=seconds)
            if turn >= 0:
                found[name] += [1000 * value for value in done.latencies]
                errors[name] += done.errors
    return [Measured(name, sorted(found[name]), errors[name]) for name in endpoints]


def problems_of(found: list[Measured], spec: LatencySpec) -> list[str]:
    """What is over its limit, in words; the candidate comes first in `found`, the champion may follow."""
    problems = []
    first = found[0]
    if first.errors:
        problems.append(f"{first.errors} requests were not answered with 200")
    if not first.percentile(99) <= spec.p99_ms:
        problems.append(f"p99 is {first.percentile(99):.1f} ms, over the budget of {spec.p99_ms:g} ms")
    if len(found) > 1 and spec.max_ratio is not None and not _ratio(found) <= spec.max_ratio:
        both = f"{first.percentile(99):.1f} ms against {found[1].percentile(99):.1f} ms"
        problems.append(f"p99 is {_ratio(found):.2f} times the champion's ({both}), over {spec.max_ratio:g}")
    return problems


def _ratio(found: list[Measured]) -> float:
    return found[0].percentile(99) / found[1].percentile(99)
