"""The findings of the gates as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from components.contracts.gate_request import GateRequest, GateResult
from components.evaluation.comparison import ChampionComparison
from components.gates.champion import format_gain
from components.gates.findings import Findings
from components.gates.floors import Floor
from components.gates.latency import EndpointLatency
from components.gates.parity import Parity
from components.identity import digest

_STYLE_FILE = Path(__file__).with_name("report.css")
MOST_ROWS = 12

QUESTIONS = {
    "integrity": "Is every byte the one that was sealed?",
    "floors": "Is it good enough by itself?",
    "champion": "Is it good enough beside what serves?",
    "parity": "Does the service answer as the training did?",
    "latency": "Does it answer in time?",
}


def render(request: GateRequest, findings: Findings) -> str:
    """Render the page."""
    results = findings.results
    refused = [result for result in results if not result.passed]
    word = "refused" if refused else "passed"
    candidate, champion = request.candidate, request.champion
    title = f"{candidate.name} version {candidate.version} as {request.role}: {word}"
    facts = {
        "asked to be": request.role,
        "serving now": f"version {champion.version}" if champion else "nothing",
        "gates passed": f"{len(results) - len(refused)} of {len(results)}",
        "package": digest.short(candidate.package_digest),
        "bundle": digest.short(candidate.bundle_key),
    }
    sections = {
        "floors": _floors(findings.floors),
        "champion": _comparison(findings.comparison, request, findings.pictures.get("champion")),
        "parity": _parity(findings.parity),
        "latency": _latency(findings.latency, findings.pictures.get("latency")),
    }
    details = "\n".join(f'<h2 id="{gate}">{QUESTIONS[gate]}</h2>\n{text}' for gate, text in sections.items() if text)
    not_run = [gate for gate in request.asked if gate in QUESTIONS and gate not in {r.gate for r in results}]
    note = f'<p class="note">Not asked after that: {", ".join(not_run)}.</p>' if not_run else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{_STYLE_FILE.read_text(encoding="utf-8")}</style>
</head>
<body class="{word}">
<header>
<p class="verdict">{word}</p>
<h1>{html.escape(candidate.name)} <small>version {html.escape(candidate.version)}</small></h1>
</header>
{_what_to_do(refused)}
<dl class="facts">{"".join(f"<div><dt>{k}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items())}</dl>
<h2>Gates</h2>
<table class="gates">
<thead><tr><th></th><th>gate</th><th>found</th><th>asked for</th></tr></thead>
<tbody>
{"".join(_row(result) for result in results)}</tbody>
</table>
{note}
{details}
</body>
</html>
"""


def _what_to_do(refused: list[GateResult]) -> str:
    if not refused:
        return ""
    rows = "".join(
        f"<li><b>{result.gate}</b>: {_paragraph(result.reason)}"
        f'<p class="next">What to do: {html.escape(result.next_step or "")}</p></li>'
        for result in refused
    )
    return f'<section class="why"><h2>Why</h2><ul>{rows}</ul></section>'


def _paragraph(reason: str) -> str:
    """The first line as text, and the following lines, the end of a log, preformatted."""
    first, _, log = reason.partition("\n")
    return html.escape(first) + (f"<pre>{html.escape(log)}</pre>" if log else "")


def _row(result: GateResult) -> str:
    mark, kind = ("✓", "met") if result.passed else ("✗", "failed")
    reason = html.escape(result.reason.partition("\n")[0])
    figures = ", ".join(f"{name.replace('_', ' ')} {_format_figure(value)}" for name, value in result.figures.items())
    return (
        f'<tr class="{kind}"><td class="mark">{mark}</td><td><b>{result.gate}</b></td>'
        f"<td>{reason}<br><code>{html.escape(figures)}</code></td><td>{html.escape(result.limit)}</td></tr>\n"
    )


def _floors(rows: list[Floor]) -> str:
    if not rows:
        return ""
    visible = rows[:MOST_ROWS]
    body = [
        (_mark(row.met), row.metric.replace("_", " "), row.slice_name, f"{row.samples:,}", f"{row.figure:.4f}",
         row.limit) for row in visible
    ]  # fmt: skip
    return _table(("", "metric", "where", "samples", "figure", "floor"), body) + _rows_not_shown(
        len(rows) - len(visible)
    )


def _comparison(comparison: ChampionComparison | None, request: GateRequest, plot: bytes | None) -> str:
    if comparison is None or request.champion is None:
        return ""
    names = f"version {request.candidate.version}", f"version {request.champion.version} (serves)"
    table, first, second = "", 0, 0
    if comparison.pairs is not None:
        both, first, second, neither = comparison.pairs
        table = (
            '<table class="pairs"><thead><tr><th></th>'
            f"<th>{html.escape(names[1])} right</th><th>wrong</th></tr></thead><tbody>"
            f"<tr><th>{html.escape(names[0])} right</th><td>{both:,}</td><td><b>{first:,}</b></td></tr>"
            f"<tr><th>wrong</th><td><b>{second:,}</b></td><td>{neither:,}</td></tr></tbody></table>"
        )
    if comparison.p_value is not None:
        method = (
            f"Only the {first + second:,} samples that one gets right and the other wrong tell them apart. A candidate "
            f"{_null_hypothesis(comparison.min_effect)} would look as good as this with probability "
            f"{_format_p_value(comparison.p_value)}; allowed are {1 - comparison.confidence:.2g}. (Exact test for "
            "paired shares: Tango's score, at the worst share of samples that tell them apart.)"
        )
    else:
        method = "The bounds are those of a paired bootstrap over the test samples (10,000 resamples, seeded)."
    rows = sorted(comparison.slices, key=lambda row: row.gain)
    body = [
        (row.name, f"{row.samples:,}", f"{row.candidate:.4f}", f"{row.champion:.4f}", format_gain(comparison, row.gain))
        for row in rows[:MOST_ROWS]
    ]
    heads = ("class", "samples", names[0], names[1], "points" if comparison.scale == 100 else "gain")
    return (
        f"{_picture(plot, 'interval of the gain, and the gain by class')}{table}"
        f'<p class="note">{html.escape(method)}</p>'
        + (f"{_table(heads, body)}{_rows_not_shown(len(rows) - MOST_ROWS)}" if rows else "")
    )


def _parity(parity: Parity | None) -> str:
    if parity is None or not parity.rows:
        return ""
    body = [
        (row.file, row.batch_plan, row.truth, row.expected, row.answered, f"{row.difference:.1e}")
        for row in parity.rows[:MOST_ROWS]
    ]
    heads = ("golden example", "asked", "truth", "training said", "service says", "difference")
    return _table(heads, body) + _rows_not_shown(len(parity.rows) - MOST_ROWS)


def _latency(measured: list[EndpointLatency], plot: bytes | None) -> str:
    if not measured:
        return ""
    percents = (50, 90, 99, 99.9)
    body = [
        (
            latency.name,
            f"{len(latency.milliseconds):,}",
            str(latency.errors),
            *(f"{latency.percentile(p):.2f}" for p in percents),
        )
        for latency in measured
    ]
    heads = ("", "requests", "failed", *(f"p{p:g} ms" for p in percents))
    return _picture(plot, "share of answers by time") + _table(heads, body)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _picture(content: bytes | None, alternative_text: str) -> str:
    if content is None:
        return ""
    return (
        f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}" alt="{html.escape(alternative_text)}">'
    )


def _rows_not_shown(count: int) -> str:
    return f'<p class="note">and {count:,} more</p>' if count > 0 else ""


def _mark(met: bool) -> str:
    return "✓" if met else "✗"


def _null_hypothesis(min_effect: float) -> str:
    points = f"{100 * abs(min_effect):g} points"
    if min_effect < 0:
        return f"that is {points} worse than the champion"
    return f"that is only {points} better than the champion" if min_effect > 0 else "no better than the champion"


def _format_p_value(value: float) -> str:
    return "below 0.0002" if value < 2e-4 else f"{value:.3g}"


def _format_figure(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
