"""The findings of the gates as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from components.contracts.gate_request import GateRequest, GateResult
from components.core import html_page
from components.evaluation.baseline_figures import BaselineFigures
from components.evaluation.comparison import ChampionComparison, Pairs
from components.gates.champion import format_gain
from components.gates.findings import Findings
from components.gates.floors import Floor
from components.gates.latency import EndpointLatency
from components.gates.parity import Parity
from components.identity import digest

_TEMPLATE = Path(__file__).with_name("report.html.j2")
MOST_ROWS = 12

QUESTIONS = {
    "integrity": "Is every byte the one that was sealed?",
    "floors": "Is it good enough by itself?",
    "baseline": "Is it better than an answer without a network?",
    "selection": "Was it chosen without the test split?",
    "champion": "Is it good enough beside what serves?",
    "parity": "Does the service answer as the training did?",
    "latency": "Does it answer in time?",
    "budget": "Is it worth what it costs?",
}


class _Refusal(NamedTuple):
    """A gate that refused; `reason` is one line, and `log` the lines after it, the end of a log."""

    gate: str
    reason: str
    log: str
    next_step: str


class _GateRow(NamedTuple):
    """The result of a gate in the table of all gates."""

    gate: str
    passed: bool
    reason: str
    figures: str
    limit: str


class _Table(NamedTuple):
    """A table of figures as text."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    rows_not_shown: int = 0


class _Comparison(NamedTuple):
    """The section of the champion gate: the names of both models, and how they differ."""

    candidate: str
    champion: str
    plot: bytes | None
    pairs: Pairs | None
    method: str
    slices: _Table | None


def render(request: GateRequest, findings: Findings) -> str:
    """Render the page."""
    results = findings.results
    refused = [result for result in results if not result.passed]
    candidate, champion = request.candidate, request.champion
    return html_page.render(
        _TEMPLATE,
        verdict="refused" if refused else "passed",
        candidate=candidate,
        role=request.role,
        facts={
            "asked to be": request.role,
            "serving now": f"version {champion.version}" if champion else "nothing",
            "gates passed": f"{len(results) - len(refused)} of {len(results)}",
            "package": digest.short(candidate.package_digest),
            "bundle": digest.short(candidate.bundle_key),
        },
        questions=QUESTIONS,
        refusals=[_refusal(result) for result in refused],
        gates=[_gate_row(result) for result in results],
        not_run=[gate for gate in request.asked if gate in QUESTIONS and gate not in {r.gate for r in results}],
        floors=_floors(findings.floors),
        baseline=_baseline(findings.baseline),
        comparison=_comparison(findings.comparison, request, findings.pictures.get("champion")),
        parity=_parity(findings.parity),
        latency=_latency(findings.latency),
        latency_plot=findings.pictures.get("latency"),
    )


def _refusal(result: GateResult) -> _Refusal:
    first, _, log = result.reason.partition("\n")
    return _Refusal(result.gate, first, log, result.next_step or "")


def _gate_row(result: GateResult) -> _GateRow:
    figures = ", ".join(f"{name.replace('_', ' ')} {_format_figure(value)}" for name, value in result.figures.items())
    return _GateRow(result.gate, result.passed, result.reason.partition("\n")[0], figures, result.limit)


def _floors(floors: list[Floor]) -> _Table | None:
    if not floors:
        return None
    rows = [
        ("✓" if row.met else "✗", row.metric.replace("_", " "), row.slice_name, f"{row.samples:,}",
         f"{row.figure:.4f}", row.limit) for row in floors
    ]  # fmt: skip
    return _first_rows(("", "metric", "where", "samples", "figure", "floor"), rows)


def _baseline(found: BaselineFigures | None) -> _Table | None:
    """The model and its baselines, a row each."""
    if found is None:
        return None
    metrics = list(dict.fromkeys(name for _, figures in found.rows[1:] for name in figures))
    rows = [
        (name, *(f"{figures[metric]:.4f}" if metric in figures else "" for metric in metrics))
        for name, figures in found.rows
    ]
    return _first_rows(("", *(metric.replace("_", " ") for metric in metrics)), rows)


def _comparison(comparison: ChampionComparison | None, request: GateRequest, plot: bytes | None) -> _Comparison | None:
    if comparison is None or request.champion is None:
        return None
    candidate, champion = f"version {request.candidate.version}", f"version {request.champion.version} (serves)"
    rows = [
        (row.name, f"{row.samples:,}", f"{row.candidate:.4f}", f"{row.champion:.4f}", format_gain(comparison, row.gain))
        for row in sorted(comparison.slices, key=lambda row: row.gain)
    ]
    heads = ("class", "samples", candidate, champion, "points" if comparison.scale == 100 else "gain")
    return _Comparison(
        candidate, champion, plot, comparison.pairs, _method(comparison), _first_rows(heads, rows) if rows else None
    )


def _method(comparison: ChampionComparison) -> str:
    if comparison.p_value is None:
        return "The bounds are those of a paired bootstrap over the test samples (10,000 resamples, seeded)."
    pairs = comparison.pairs
    discordant = 0 if pairs is None else pairs.candidate_only + pairs.champion_only
    return (
        f"Only the {discordant:,} samples that one gets right and the other wrong tell them apart. A candidate "
        f"{_null_hypothesis(comparison.min_effect)} would look as good as this with probability "
        f"{_format_p_value(comparison.p_value)}; allowed are {1 - comparison.confidence:.2g}. (Exact test for "
        "paired shares: Tango's score, at the worst share of samples that tell them apart.)"
    )


def _parity(parity: Parity | None) -> _Table | None:
    if parity is None or not parity.rows:
        return None
    rows = [
        (row.file, row.batch_plan, row.truth, row.expected, row.answered, f"{row.difference:.1e}")
        for row in parity.rows
    ]
    return _first_rows(("golden example", "asked", "truth", "training said", "service says", "difference"), rows)


def _latency(measured: list[EndpointLatency]) -> _Table | None:
    if not measured:
        return None
    percents = (50, 90, 99, 99.9)
    rows = [
        (
            latency.name,
            f"{len(latency.milliseconds):,}",
            str(latency.errors),
            *(f"{latency.percentile(p):.2f}" for p in percents),
        )
        for latency in measured
    ]
    return _Table(("", "requests", "failed", *(f"p{p:g} ms" for p in percents)), rows)


def _first_rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> _Table:
    return _Table(heads, rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS))


def _null_hypothesis(min_effect: float) -> str:
    points = f"{100 * abs(min_effect):g} points"
    if min_effect < 0:
        return f"that is {points} worse than the champion"
    return f"that is only {points} better than the champion" if min_effect > 0 else "no better than the champion"


def _format_p_value(value: float) -> str:
    return "below 0.0002" if value < 2e-4 else f"{value:.3g}"


def _format_figure(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
