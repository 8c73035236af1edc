"""Gate budget: parameters, bundle size, latency, and the gain that a larger model owes for each doubling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from components.contracts.budget_spec import BudgetSpec
from components.contracts.gate_request import GateRequest, GateResult
from components.evaluation.comparison import ChampionComparison
from components.gates.latency import EndpointLatency

Figures = dict[str, float | int | str]


class ParameterCounts(NamedTuple):
    """The parameters of candidate and champion.

    Args:
        candidate: None: no limit asks for it.
        champion: None: there is no champion, it is the candidate, or no limit asks for it.
    """

    candidate: int | None
    champion: int | None


class _Finding(NamedTuple):
    """The result of one limit: figures, what was found in words, and what is wrong and what to do if it is exceeded."""

    figures: Figures
    text: str
    limit: str
    next_step: str | None = None


def check(
    request: GateRequest,
    budget: BudgetSpec,
    counts: ParameterCounts,
    measure_latency: Callable[[], EndpointLatency | None],
    compare: Callable[[], ChampionComparison | str],
) -> GateResult:
    """Check every limit that is set.

    Args:
        measure_latency: the candidate's latencies; None: its endpoint does not start. Called if there is a limit.
        compare: candidate and champion by the task's first metric, or why they cannot be compared. Called if the
            candidate has more parameters.
    """
    findings: list[_Finding] = []
    if budget.parameters is not None and counts.candidate is not None:
        findings.append(_parameters(counts.candidate, budget.parameters))
    if budget.bundle_mb is not None:
        findings.append(_bundle(Path(request.candidate.bundle), budget.bundle_mb))
    if budget.latency_ms is not None:
        findings.append(_latency(measure_latency(), budget.latency_ms))
    if budget.min_gain_per_doubling is not None:
        findings.append(_gain(request, budget.min_gain_per_doubling, counts, compare))
    return _result(findings)


def bundle_bytes(folder: Path) -> int:
    """Size of all files of a bundle."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _result(findings: Sequence[_Finding]) -> GateResult:
    refused = [one for one in findings if one.next_step is not None]
    figures: Figures = {}
    for one in findings:
        figures |= one.figures
    return GateResult(
        gate="budget",
        passed=not refused,
        figures=figures,
        limit="; ".join(one.limit for one in findings),
        reason="; ".join(one.text for one in refused or findings),
        next_step="; ".join(dict.fromkeys(one.next_step for one in refused if one.next_step)) or None,
    )


def _parameters(count: int, limit: int) -> _Finding:
    text = f"{count:,} parameters"
    step = "a narrower or shallower model, or a larger budget.parameters"
    if count > limit:
        return _Finding({"parameters": count}, f"{text}, over the budget of {limit:,}", f"{limit:,} parameters", step)
    return _Finding({"parameters": count}, text, f"{limit:,} parameters")


def _bundle(folder: Path, limit: float) -> _Finding:
    size = bundle_bytes(folder) / 1e6
    figures: Figures = {"bundle_mb": round(size, 3)}
    text = f"the bundle has {size:.2f} MB"
    step = "a smaller model, or a larger budget.bundle_mb"
    if size > limit:
        return _Finding(figures, f"{text}, over the budget of {limit:g} MB", f"{limit:g} MB", step)
    return _Finding(figures, text, f"{limit:g} MB")


def _latency(latency: EndpointLatency | None, limit: float) -> _Finding:
    wanted = f"p99 of {limit:g} ms"
    if latency is None:
        return _Finding({}, "not measured: the bundle's endpoint does not start", wanted, "see the parity gate")
    p99 = latency.percentile(99)
    figures: Figures = {"latency_p99_ms": round(p99, 3), "latency_requests": len(latency.milliseconds)}
    step = "a smaller model, or a larger budget.latency_ms; measure again on a quiet machine"
    if latency.errors:
        return _Finding(figures, f"{latency.errors} requests were not answered with 200", wanted, step)
    if not p99 <= limit:
        return _Finding(figures, f"p99 is {p99:.1f} ms, over the budget of {limit:g} ms", wanted, step)
    return _Finding(figures, f"p99 is {p99:.1f} ms", wanted)


def _gain(
    request: GateRequest, least: float, counts: ParameterCounts, compare: Callable[[], ChampionComparison | str]
) -> _Finding:
    wanted = f"a gain of {least:g} for each doubling of the champion's parameters"
    if request.role == "challenger":
        return _Finding({}, "a challenger owes no gain before it is to be champion", wanted)
    if counts.candidate is None or counts.champion is None or request.champion is None:
        return _Finding({}, "there is no other champion to be larger than", wanted)
    doublings = math.log2(counts.candidate / counts.champion)
    figures: Figures = {"doublings": round(doublings, 3), "champion_parameters": counts.champion}
    figures["parameters"] = counts.candidate
    size = f"{counts.candidate:,} parameters against {counts.champion:,} of version {request.champion.version}"
    if doublings <= 0:
        return _Finding(figures, f"no larger than the champion: {size}", wanted)
    step = "keep the champion, or train a better one; `modelyard advise PIPELINE` says what a larger model brings"
    found = compare()
    if isinstance(found, str):
        return _Finding(figures, f"the gain cannot be measured: {found}", wanted, step)
    owed = least * doublings
    figures |= {"gain": found.gain, "gain_lower": found.lower, "gain_upper": found.upper, "gain_owed": owed}
    text = (
        f"{found.metric.replace('_', ' ')} gains {found.gain:+.4g} [{found.lower:+.4g}, {found.upper:+.4g}], each bound"
        f" with {found.confidence:.0%} confidence, for {doublings:.2f} doublings of the parameters ({size})"
    )
    if found.gain < owed:
        return _Finding(figures, f"{text}; it owes {owed:+.4g}", wanted, step)
    return _Finding(figures, f"{text}; it owes {owed:+.4g}", wanted)
