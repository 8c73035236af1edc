"""A comparison as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from components.contracts.comparison import ComparisonTable, Row

_STYLE_FILE = Path(__file__).with_name("report.css")
HEADS = (
    "model",
    "{metric}",
    "parameters",
    "epochs",
    "training s",
    "samples/s",
    "latency ms",
    "serves MB",
    "bundle MB",
)


def render(table: ComparisonTable, picture: bytes) -> str:
    """Render the page."""
    metric = table.metric.replace("_", " ")
    better = "higher" if table.higher_is_better else "lower"
    facts = {
        "task": table.task,
        "dataset": table.dataset,
        "budget of each": table.budget,
        "test samples": f"{table.samples:,}",
    }
    heads = "".join(f"<th>{html.escape(head.format(metric=metric))}</th>" for head in HEADS)
    encoded = base64.b64encode(picture).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(table.title)}</title>
<style>
{_STYLE_FILE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>{html.escape(table.title)}</h1><p>quality against what it costs, measured</p></header>
<dl class="facts">{"".join(f"<div><dt>{k}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items())}</dl>
{_failed(table)}
<div class="wide"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{"".join(_row(row) for row in table.rows)}</tbody>
</table></div>
<img src="data:image/png;base64,{encoded}" alt="{html.escape(metric)} against parameters, training time, latency, size">
<p class="note">{html.escape(metric)}: {html.escape(table.words)}; {better} is better. In brackets what holds the true
figure with 95 % confidence: {html.escape(table.interval)}. Intervals of two models may meet although one is better on
the very same samples: the champion gate compares pairwise.</p>
<p class="note">Training time is that of the loop with its validation. Latency is the median of one answer, the same
golden examples put to all models in turns in one process, one thread. What serves is the package without the weights
for training on; a bundle holds the whole package and the serving code.</p>
</body>
</html>
"""


def cells(row: Row) -> list[str]:
    """The texts of a row in the order of `HEADS`; a dash for a figure that was not measured."""
    quality = row.quality
    return [
        row.name,
        f"{quality.value:.4f} [{quality.lower:.4f}, {quality.upper:.4f}]",
        f"{row.parameters:,}",
        f"{row.epochs} (kept {row.kept_epoch})",
        _number(row.training_seconds, 1),
        _number(row.samples_per_second, 0),
        f"{row.latency_ms:.2f}",
        f"{row.serves_bytes / 1e6:.2f}",
        _number(None if row.bundle_bytes is None else row.bundle_bytes / 1e6, 2),
    ]


def _row(row: Row) -> str:
    first, *rest = cells(row)
    name = (
        f"<td><b>{html.escape(first)}</b> <small>{html.escape(row.family)} {html.escape(row.architecture)}</small></td>"
    )
    return f"<tr>{name}{''.join(f'<td>{html.escape(cell)}</td>' for cell in rest)}</tr>\n"


def _failed(table: ComparisonTable) -> str:
    lines = [f"<p><b>{html.escape(name)}</b>: {html.escape(reason)}</p>" for name, reason in table.failed.items()]
    return f'<div class="failed"><p>Not compared:</p>{"".join(lines)}</div>' if lines else ""


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
