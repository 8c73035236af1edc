"""A small bar chart as SVG inside a page."""

from __future__ import annotations

import html

_COLOURS = {"train": "#3f6fb5", "validation": "#8fb3e3", "test": "#f0a13c"}
_OTHER = "#9aa5b4"
_ROW, _LEFT, _WIDTH, _RIGHT = 24, 150, 620, 90
_MOST_ROWS = 40


def stacked_bars(counts: dict[str, dict[str, int]]) -> str:
    """One stacked bar for each label, a part for each split, with the counts; at most `_MOST_ROWS` largest labels."""
    splits = sorted({split for row in counts.values() for split in row})
    splits.sort(key=lambda split: [*_COLOURS, split].index(split))
    largest = max((sum(row.values()) for row in counts.values()), default=1)
    names = sorted(counts, key=lambda label: -sum(counts[label].values()))[:_MOST_ROWS]
    labels = [label for label in counts if label in set(names)]
    parts = [_legend(splits)]
    for position, label in enumerate(labels, 1):
        top = position * _ROW + 8
        parts.append(_text(_LEFT - 10, top + 14, label[:22], "end"))
        left = float(_LEFT)
        for split in splits:
            count = counts[label].get(split, 0)
            width = count / largest * _WIDTH
            tip = html.escape(f"{label}, {split}: {count:,}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 6}" '
                f'fill="{_COLOURS.get(split, _OTHER)}"><title>{tip}</title></rect>'
            )
            left += width
        parts.append(_text(left + 8, top + 14, " / ".join(f"{counts[label].get(split, 0):,}" for split in splits)))
    height = (len(labels) + 1) * _ROW + 12
    width_all = _LEFT + _WIDTH + _RIGHT + 40
    more = f"<p>the {_MOST_ROWS} largest of {len(counts)} labels</p>" if len(counts) > len(labels) else ""
    return (
        f'<svg viewBox="0 0 {width_all} {height}" width="{width_all}" role="img" '
        f'aria-label="samples by label and split" font-size="13" fill="#1c2430">{"".join(parts)}</svg>{more}'
    )


def _legend(splits: list[str]) -> str:
    parts = []
    left = _LEFT
    for split in splits:
        parts.append(f'<rect x="{left}" y="4" width="12" height="12" fill="{_COLOURS.get(split, _OTHER)}"/>')
        parts.append(_text(left + 18, 15, split))
        left += 40 + 8 * len(split)
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'
