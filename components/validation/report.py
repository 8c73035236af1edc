"""The report as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from PIL import Image

from components.contracts.dataset import DatasetSpec
from components.identity import digest
from components.validation.chart import stacked_bars
from components.validation.verdict import ExpectationResult, Verdict

MAX_PREVIEWS = 60
_SIDE = 96
_SNIPPET = 240
_STYLE_FILE = Path(__file__).with_name("report.css")


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the samples of each label and split; `not split yet` without a split, `all` without labels."""
    split = table["split"].fillna("not split yet")
    sizes = table.groupby([table["label"].replace("", "all"), split], sort=True).size()
    result: dict[str, dict[str, int]] = {}
    for (label, name), count in sizes.items():
        result.setdefault(str(label), {})[str(name)] = int(count)
    return result


def render(
    spec: DatasetSpec, verdict: Verdict, by_label: dict[str, dict[str, int]], previews: dict[str, bytes | str]
) -> str:
    """Render the page.

    Args:
        by_label: number of samples of each label in each split.
        previews: failing samples by id: image files, or text.
    """
    word = "accepted" if verdict.success else "refused"
    met, evaluated = verdict.statistics["met"], verdict.statistics["evaluated"]
    total = sum(sum(splits.values()) for splits in by_label.values())
    title = f"{spec.name}: {verdict.part} data {word}"
    facts = {
        "samples": f"{total:,}",
        "labels": f"{len(by_label):,}",
        "expectations met": f"{met} of {evaluated}",
        "data": digest.short(verdict.subject_digest),
        "suite": digest.short(verdict.suite_digest),
    }
    # Failed expectations come first, each group in the order of the suite.
    ordered = sorted(verdict.results, key=lambda result: result.success)
    rows = "\n".join(part for result in ordered for part in _rows(result, previews))
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
<h1>{html.escape(spec.name)} <small>{verdict.part} data</small></h1>
<p>{html.escape(spec.title)}</p>
</header>
<dl class="facts">{"".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts.items())}</dl>
<h2>Samples by label and split</h2>
{stacked_bars(by_label)}
<h2>Expectations</h2>
<table>
<thead><tr><th></th><th>expectation</th><th>observed</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _rows(result: ExpectationResult, previews: dict[str, bytes | str]) -> Iterator[str]:
    mark = "met" if result.success else "failed"
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in result.kwargs.items())
    description = html.escape(result.description or result.type)
    yield (
        f'<tr class="{mark}"><td class="mark">{"✓" if result.success else "✗"}</td>'
        f"<td>{description}<br><code>{html.escape(f'{result.type}({arguments})')}</code></td>"
        f"<td>{html.escape(result.error or result.observed)}</td></tr>"
    )
    if not result.success and result.failing:
        figures = "".join(_figure(failing.id, failing.value, previews.get(failing.id)) for failing in result.failing)
        more = result.failing_count - len(result.failing)
        note = f'<p class="more">and {more:,} more</p>' if more > 0 else ""
        yield f'<tr class="samples"><td></td><td colspan="2"><div class="gallery">{figures}</div>{note}</td></tr>'


def _figure(identity: str, value: object, sample: bytes | str | None) -> str:
    picture = _picture(sample)
    text = "null" if value is None else str(value)
    caption = f"{html.escape(identity)}<br><b>{html.escape(text[:60])}</b>"
    kind = ' class="text"' if isinstance(sample, str) else ""
    return f"<figure{kind}>{picture}<figcaption>{caption}</figcaption></figure>"


def _picture(sample: bytes | str | None) -> str:
    if isinstance(sample, str):
        more = " …" if len(sample) > _SNIPPET else ""
        return f"<blockquote>{html.escape(sample[:_SNIPPET])}{more}</blockquote>"
    address = _thumbnail(sample) if sample is not None else None
    return f'<img src="{address}" alt="">' if address else '<span class="none">no picture</span>'


def _thumbnail(content: bytes) -> str | None:
    """A small PNG as a data: URL; None if the file is no image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((_SIDE, _SIDE))
            out = io.BytesIO()
            image.convert("RGB").save(out, "PNG", optimize=True)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
