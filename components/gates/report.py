"""What the gates found, as one HTML page that stands alone: no scripts, nothing from the network."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from components.contracts.gate_request import GateRequest, GateResult
from components.evaluation.comparison import ChampionComparison
from components.gates.champion import signed
from components.gates.findings import Found
from components.gates.floors import Floor
from components.gates.latency import Measured
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


def render(request: GateRequest, found: Found) -> str:
    """The page."""
    results = found.results
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
        "floors": _floors(found.floors),
        "champion": _comparison(found.comparison, request, found.pictures.get("champion")),
        "parity": _parity(found.parity),
        "latency": _latency(found.latency, found.pictures.get("latency")),
    }
    details = "\n".join(f'<h2 id="{gate}">{QUESTIONS[gate]}</h2>\n{text}' for gate, text in sections.items() if text)
    left_out = [gate for gate in request.asked if gate in QUESTIONS and gate not in {r.gate for r in results}]
    note = f'<p class="note">Not asked after that: {", ".join(left_out)}.</p>' if left_out else ""
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
    """A sentence; where the tail of a log follows, that as it was written."""
    first, _, log = reason.partition("\n")
    return html.escape(first) + (f"<pre>{html.escape(log)}</pre>" if log else "")


def _row(result: GateResult) -> str:
    mark, kind = ("✓", "met") if result.passed else ("✗", "failed")
    found = html.escape(result.reason.partition("\n")[0])
    figures = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in result.figures.items())
    return (
        f'<tr class="{kind}"><td class="mark">{mark}</td><td><b>{result.gate}</b></td>'
        f"<td>{found}<br><code>{html.escape(figures)}</code></td><td>{html.escape(result.limit)}</td></tr>\n"
    )


def _floors(rows: list[Floor]) -> str:
    if not rows:
        return ""
    shown = rows[:MOST_ROWS]
    body = [
        (_mark(row.met), row.metric.replace("_", " "), row.place, f"{row.samples:,}", f"{row.figure:.4f}",
         row.limit) for row in shown
    ]  # fmt: skip
    return _table(("", "metric", "where", "samples", "figure", "floor"), body) + _more(len(rows) - len(shown))


def _comparison(found: ChampionComparison | None, request: GateRequest, picture: bytes | None) -> str:
    if found is None or request.champion is None:
        return ""
    names = f"version {request.candidate.version}", f"version {request.champion.version} (serves)"
    table, first, second = "", 0, 0
    if found.pairs is not None:
        both, first, second, neither = found.pairs
        table = (
            '<table class="pairs"><thead><tr><th></th>'
            f"<th>{html.escape(names[1])} right</th><th>wrong</th></tr></thead><tbody>"
            f"<tr><th>{html.escape(names[0])} right</th><td>{both:,}</td><td><b>{first:,}</b></td></tr>"
            f"<tr><th>wrong</th><td><b>{second:,}</b></td><td>{neither:,}</td></tr></tbody></table>"
        )
    if found.p_value is not None:
        how = (
            f"Only the {first + second:,} samples that one gets right and the other wrong tell them apart. A candidate "
            f"{_no_better(found.min_effect)} would look as good as this with probability {_chance(found.p_value)}; "
            f"allowed are {1 - found.confidence:.2g}. (Exact test for paired shares: Tango's score, at the worst share "
            "of samples that tell them apart.)"
        )
    else:
        how = "The bounds are those of a paired bootstrap over the test samples (10,000 resamples, seeded)."
    rows = sorted(found.slices, key=lambda row: row.gain)
    body = [
        (row.name, f"{row.samples:,}", f"{row.candidate:.4f}", f"{row.champion:.4f}", signed(found, row.gain))
        for row in rows[:MOST_ROWS]
    ]
    heads = ("class", "samples", names[0], names[1], "points" if found.scale == 100 else "gain")
    return (
        f"{_picture(picture, 'interval of the gain, and the gain by class')}{table}"
        f'<p class="note">{html.escape(how)}</p>'
        + (f"{_table(heads, body)}{_more(len(rows) - MOST_ROWS)}" if rows else "")
    )


def _parity(found: Parity | None) -> str:
    if found is None or not found.seen:
        return ""
    body = [
        (one.file, one.way, one.truth, one.expected, one.answered, f"{one.difference:.1e}")
        for one in found.seen[:MOST_ROWS]
    ]
    heads = ("golden example", "asked", "truth", "training said", "service says", "difference")
    return _table(heads, body) + _more(len(found.seen) - MOST_ROWS)


def _latency(found: list[Measured], picture: bytes | None) -> str:
    if not found:
        return ""
    percents = (50, 90, 99, 99.9)
    body = [
        (one.name, f"{len(one.milliseconds):,}", str(one.errors), *(f"{one.percentile(p):.2f}" for p in percents))
        for one in found
    ]
    heads = ("", "requests", "failed", *(f"p{p:g} ms" for p in percents))
    return _picture(picture, "share of answers by time") + _table(heads, body)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _picture(content: bytes | None, words: str) -> str:
    if content is None:
        return ""
    return f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}" alt="{html.escape(words)}">'


def _more(count: int) -> str:
    return f'<p class="note">and {count:,} more</p>' if count > 0 else ""


def _mark(met: bool) -> str:
    return "✓" if met else "✗"


def _no_better(min_effect: float) -> str:
    points = f"{100 * abs(min_effect):g} points"
    if min_effect < 0:
        return f"that is {points} worse than the champion"
    return f"that is only {points} better than the champion" if min_effect > 0 else "no better than the champion"


def _chance(value: float) -> str:
    return "below 0.0002" if value < 2e-4 else f"{value:.3g}"


def _shown(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
